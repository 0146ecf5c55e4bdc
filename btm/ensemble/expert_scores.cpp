#include "btm/ensemble/expert_scores.h"

#include <algorithm>
#include <cmath>

#include "btm/evaluator/load_scorer.h"
#include "compat/byte_reader.h"
#include "compat/sha256.h"

namespace btm {
namespace {

/// The given rows as a batch of their own.
Batch select_rows(const Batch& batch, std::span<const std::int64_t> rows) {
  Batch part;
  part.rows = static_cast<std::int64_t>(rows.size());
  part.columns = batch.columns;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t begin = rows[i] * batch.columns;
    const auto copy = [&](const std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) {
      to.insert(to.end(), from.begin() + begin, from.begin() + begin + batch.columns);
    };
    copy(batch.tokens, part.tokens);
    copy(batch.targets, part.targets);
    part.ids.push_back(batch.ids[static_cast<std::size_t>(rows[i])]);
    part.first_scored.push_back(batch.first_scored[static_cast<std::size_t>(rows[i])]);
    for (const std::int64_t place : batch.scored_padding)
      if (place >= begin && place < begin + batch.columns)
        part.scored_padding.push_back(place - begin + static_cast<std::int64_t>(i) * batch.columns);
  }
  return part;
}

}  // namespace

void score_padding_before_last(Batch& batch, std::int64_t pad) {
  batch.scored_padding.clear();
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const std::int64_t column = batch.columns - 2, at = row * batch.columns + column;
    if (column >= batch.first_scored[static_cast<std::size_t>(row)] && batch.targets[static_cast<std::size_t>(at)] == pad)
      batch.scored_padding.push_back(at);
  }
}

ScoreStore store_for(const EvalData& data, const std::string& selection, ScoreCache* cache) {
  ScoreStore store;
  if (cache == nullptr) return store;
  store.cache = cache;
  compat::Sha256 hash;
  hash.update(compat::as_byte_span(selection));
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    hash.update(std::as_bytes(std::span(&batch.columns, 1)));
    for (const auto* const values : {&batch.tokens, &batch.targets, &batch.first_scored}) hash.update(std::as_bytes(std::span(*values)));
    store.columns += batch.targets.size();
  }
  store.data = hash.hex();
  return store;
}

std::string model_digest(ScoreCache& cache, const compat::Checkpoint& checkpoint, const EvalLmOptions& options) {
  const Precision precision = precision_for(options);
  return cache.model_digest(checkpoint, std::string(c10::toString(precision.compute)) + " " + c10::toString(precision.rounding) + " " +
                                            c10::DeviceTypeName(precision.device.type()));
}

ExpertScores::ExpertScores(std::string path, const EvalLmOptions& options, const EvalData& data, const ScoreStore& store)
    : path_(std::move(path)), options_(options), data_(data), store_(store) {}

std::string ExpertScores::digest() const {
  return model_digest(*store_.cache, open_model(path_, options_), options_);
}

void ExpertScores::start() {
  if (store_.cache == nullptr) return;
  if (!store_.cache->knows(store_.data)) {  // nothing to find: the hash is only wanted at the end
    digest_ = std::async(std::launch::async, [this] { return digest(); });
    return;
  }
  const std::string model = digest();
  if (auto found = store_.cache->load(store_.data, model, store_.columns)) {
    values_ = std::move(*found);
    stored_ = true;
  }
  std::promise<std::string> known;
  known.set_value(model);
  digest_ = known.get_future();
}

void ExpertScores::run(const Batch& batch, std::span<const std::int64_t> rows, std::size_t offset) {
  if (!scorer_) scorer_ = load_scorer(open_model(path_, options_), options_, data_).scorer;
  const bool whole = static_cast<std::int64_t>(rows.size()) == batch.rows;
  const at::Tensor scores = scorer_->score(whole ? batch : select_rows(batch, rows));
  const float* const values = scores.const_data_ptr<float>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(values + static_cast<std::int64_t>(i) * batch.columns, batch.columns,
                values_.begin() + static_cast<std::ptrdiff_t>(offset) + rows[i] * batch.columns);
  rows_run_ += static_cast<std::int64_t>(rows.size());
}

void ExpertScores::score(const Batch& batch, std::span<const std::int64_t> rows) {
  const std::size_t offset = std::exchange(scored_, scored_ + batch.targets.size());
  if (!stored_) {
    values_.resize(scored_, 0.0F);
    if (!rows.empty()) run(batch, rows, offset);
  }
  for (const std::int64_t row : rows)
    for (std::int64_t at = row * batch.columns + batch.first_scored[static_cast<std::size_t>(row)]; at < (row + 1) * batch.columns; ++at)
      if (batch.targets[static_cast<std::size_t>(at)] != data_.dictionary().pad()) {
        log_prob_ += values_[offset + static_cast<std::size_t>(at)];
        ++targets_;
      }
}

double ExpertScores::perplexity() const { return targets_ > 0 ? std::exp(-log_prob_ / static_cast<double>(targets_)) : 1; }

void ExpertScores::finish() {
  scorer_.reset();
  if (store_.cache != nullptr && !stored_) store_.cache->store(store_.data, digest_.get(), values_);
}

}  // namespace btm
