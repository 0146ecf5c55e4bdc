#include "btm/ensemble/expert_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "btm/data/scored_columns.h"
#include "btm/evaluator/load_scorer.h"
#include "compat/base/byte_reader.h"
#include "compat/fairseq/dictionary_digest.h"

namespace btm {
namespace {

constexpr float kNotComputed = std::numeric_limits<float>::quiet_NaN();

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
    if (column >= batch.first_scored[static_cast<std::size_t>(row)] &&
        batch.targets[static_cast<std::size_t>(at)] == pad)
      batch.scored_padding.push_back(at);
  }
}

void take_scores(const Batch& batch, std::span<const std::int64_t> rows,
                 std::span<const float> scores, std::int64_t pad, std::span<float> place) {
  const auto columns = static_cast<std::size_t>(batch.columns);
  std::ranges::fill(place, kNotComputed);
  std::vector<std::size_t> row_of(static_cast<std::size_t>(batch.rows), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) row_of[static_cast<std::size_t>(rows[i])] = i;
  const auto take = [&](std::size_t at) {
    if (const std::size_t i = row_of[at / columns]; i < rows.size())
      place[at] = scores[i * columns + at % columns];
  };
  for (const std::int64_t row : rows)
    for (const std::int64_t column : scored_columns(batch, row, pad))
      take(static_cast<std::size_t>(row * batch.columns + column));
  for (const std::int64_t at : batch.scored_padding) take(static_cast<std::size_t>(at));
}

std::vector<std::int64_t> all_rows(const Batch& batch) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(batch.rows));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

BatchDigest::BatchDigest(const compat::Dictionary& dictionary) {
  hash_.update(compat::as_byte_span(compat::dictionary_sha256(dictionary)));
}

void BatchDigest::add(const Batch& batch) {
  hash_.update(std::as_bytes(std::span(&batch.columns, 1)));
  for (const auto* const values : {&batch.tokens, &batch.targets, &batch.first_scored})
    hash_.update(std::as_bytes(std::span(*values)));
}

ScoreStore store_for(const EvalData& data, ScoreCache* cache) {
  ScoreStore store;
  if (cache == nullptr) return store;
  store.cache = cache;
  BatchDigest digest(data.dictionary());
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    digest.add(batch);
    store.columns += batch.targets.size();
  }
  store.data = digest.hex();
  return store;
}

std::string precision_text(const EvalLmOptions& options) {
  const Precision precision = precision_for(options);
  return std::string(c10::toString(precision.compute)) + " " + c10::toString(precision.rounding) +
         " " + c10::DeviceTypeName(precision.device.type());
}

ExpertScores::ExpertScores(std::string path, const EvalLmOptions& options, const EvalData& data,
                           const ScoreStore& store, RowSelection selection)
    : path_(std::move(path)),
      options_(options),
      data_(data),
      store_(store),
      selection_(std::move(selection)) {}

/// The store's name for the rows that this expert scores.
std::string ExpertScores::data_key() const {
  if (!selection_) return store_.data;
  std::string text = store_.data;
  for (const auto& rows : *selection_) {
    text += '\n';
    for (const std::int64_t row : rows) text += std::to_string(row) + " ";
  }
  return compat::sha256_hex(compat::as_byte_span(text));
}

void ExpertScores::start() {
  if (store_.cache == nullptr) return;
  checkpoint_.emplace(open_model(path_, options_));
  scored_data_.emplace(data_.dictionary());
  const auto digest = [this] {
    return store_.cache->model_digest(*checkpoint_, precision_text(options_));
  };
  const std::string key = data_key();
  if (!store_.cache->knows(key)) {  // nothing to find: the hash is only wanted at the end
    digest_ = std::async(std::launch::async, digest);
    return;
  }
  const std::string model = digest();
  if (auto found = store_.cache->load(key, model, store_.columns)) {
    values_ = std::move(*found);
    stored_ = true;
  }
  std::promise<std::string> known;
  known.set_value(model);
  digest_ = known.get_future();
}

void ExpertScores::run(const Batch& batch, std::span<const std::int64_t> rows,
                       std::span<float> place) {
  if (!checkpoint_) checkpoint_.emplace(open_model(path_, options_));
  if (!scorer_) scorer_ = load_scorer(*checkpoint_, options_, data_).scorer;
  const bool whole = static_cast<std::int64_t>(rows.size()) == batch.rows;
  const at::Tensor scores = scorer_->score(whole ? batch : select_rows(batch, rows));
  take_scores(batch, rows,
              {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())},
              data_.dictionary().pad(), place);
  rows_run_ += static_cast<std::int64_t>(rows.size());
}

void ExpertScores::score(const Batch& batch) {
  const std::size_t offset = std::exchange(scored_, scored_ + batch.targets.size());
  const std::vector<std::int64_t> rows = selection_ ? selection_->at(batches_) : all_rows(batch);
  ++batches_;
  if (!stored_) {
    if (scored_data_) scored_data_->add(batch);
    values_.resize(scored_, kNotComputed);
    if (!rows.empty()) run(batch, rows, std::span(values_).subspan(offset));
  }
  for (const std::int64_t row : rows)
    for (const std::int64_t column : scored_columns(batch, row, data_.dictionary().pad())) {
      log_prob_ += values_[offset + static_cast<std::size_t>(row * batch.columns + column)];
      ++targets_;
    }
}

double ExpertScores::perplexity() const {
  return targets_ > 0 ? std::exp(-log_prob_ / static_cast<double>(targets_)) : 1;
}

void ExpertScores::finish() {
  scorer_.reset();
  if (store_.cache != nullptr && !stored_) {
    const std::string model = digest_.get();
    if (scored_data_->hex() != store_.data)
      store_.cache->warn("scores are not kept: the data changed meanwhile");
    else if (store_.cache->is_still(*checkpoint_, precision_text(options_), model))
      store_.cache->store(data_key(), model, values_);
  }
  checkpoint_.reset();
}

}  // namespace btm
