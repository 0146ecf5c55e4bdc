#include "btm/ensemble/expert_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "btm/evaluator/load_scorer.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/fairseq/dictionary_digest.h"

namespace btm {
namespace {

constexpr float kNotComputed = std::numeric_limits<float>::quiet_NaN();

/// The given rows as a batch of their own.
Batch select_rows(const Batch& batch, std::span<const std::int64_t> rows) {
  Batch part;
  part.pad = batch.pad;
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

void score_padding_before_last(Batch& batch) {
  batch.scored_padding.clear();
  const std::int64_t column = batch.columns - 2;
  for (std::int64_t row = 0; row < batch.rows; ++row)
    if (column >= batch.first_scored_of(row) &&
        batch.targets[batch.place(row, column)] == batch.pad)
      batch.scored_padding.push_back(static_cast<std::int64_t>(batch.place(row, column)));
}

void take_scores(const Batch& batch, std::span<const std::int64_t> rows,
                 std::span<const float> scores, std::span<float> place) {
  const auto columns = static_cast<std::size_t>(batch.columns);
  std::ranges::fill(place, kNotComputed);
  std::vector<std::size_t> row_of(static_cast<std::size_t>(batch.rows), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) row_of[static_cast<std::size_t>(rows[i])] = i;
  const auto take = [&](std::size_t at) {
    if (const std::size_t i = row_of[at / columns]; i < rows.size())
      place[at] = scores[i * columns + at % columns];
  };
  batch.for_each_scored([&](std::int64_t, std::size_t at) { take(at); });
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
    store.columns += batch.size();
  }
  store.data = digest.hex();
  return store;
}

std::string precision_text(const MachineOptions& machine) {
  const Precision precision = precision_for(machine);
  return std::string(c10::toString(precision.compute)) + " " + c10::toString(precision.rounding) +
         " " + c10::DeviceTypeName(precision.device.type()) +
         (precision.products == Products::kFp32     ? ""
          : precision.products == Products::kBf16x3 ? " bf16x3"
                                                    : " bf16 products");
}

ExpertScores::ExpertScores(std::string path, const ScoringSetup& setup, RowSelection selection)
    : path_(std::move(path)), setup_(setup), selection_(std::move(selection)) {}

/// The store's name for the rows that this expert scores.
std::string ExpertScores::data_key() const {
  if (!selection_) return setup_.store.data;
  std::string text = setup_.store.data;
  for (const auto& rows : *selection_) {
    text += '\n';
    for (const std::int64_t row : rows) text += compat::concat(row, ' ');
  }
  return compat::sha256_hex(compat::as_byte_span(text));
}

void ExpertScores::start() {
  if (setup_.store.cache == nullptr) return;
  checkpoint_.emplace(open_model(path_, setup_.model_overrides));
  scored_data_.emplace(setup_.data.dictionary());
  const auto digest = [this] {
    return setup_.store.cache->model_digest(*checkpoint_, precision_text(setup_.machine));
  };
  const std::string key = data_key();
  if (!setup_.store.cache->knows(key)) {  // nothing to find: only finish() needs the hash
    digest_ = std::async(std::launch::async, digest);
    return;
  }
  const std::string model = digest();
  stored_ = setup_.store.cache->load(key, model, setup_.store.columns);
  std::promise<std::string> known;
  known.set_value(model);
  digest_ = known.get_future();
}

void ExpertScores::run(const Batch& batch, std::span<const std::int64_t> rows,
                       std::span<float> place) {
  if (!checkpoint_) checkpoint_.emplace(open_model(path_, setup_.model_overrides));
  if (!scorer_) scorer_ = load_scorer(*checkpoint_, setup_.machine, setup_.data).scorer;
  const bool whole = static_cast<std::int64_t>(rows.size()) == batch.rows;
  const at::Tensor scores = scorer_->score(whole ? batch : select_rows(batch, rows));
  take_scores(batch, rows,
              {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())}, place);
  rows_run_ += static_cast<std::int64_t>(rows.size());
}

void ExpertScores::score(const Batch& batch) {
  const std::size_t offset = std::exchange(scored_, scored_ + batch.size());
  const std::vector<std::int64_t> rows = selection_ ? selection_->at(batches_) : all_rows(batch);
  ++batches_;
  if (!stored_) {
    if (scored_data_) scored_data_->add(batch);
    values_.resize(scored_, kNotComputed);
    if (!rows.empty()) run(batch, rows, std::span(values_).subspan(offset));
  }
  for (const std::int64_t row : rows)
    batch.for_each_scored_of(row, [&](std::int64_t, std::size_t at) {
      log_prob_ += all()[offset + at];
      ++targets_;
    });
}

double ExpertScores::perplexity() const {
  return targets_ > 0 ? std::exp(-log_prob_ / static_cast<double>(targets_)) : 1;
}

void ExpertScores::finish() {
  scorer_.reset();
  if (setup_.store.cache != nullptr && !stored_) {
    const std::string model = digest_.get();
    if (scored_data_->hex() != setup_.store.data)
      setup_.store.cache->warn("scores are not kept: the data changed meanwhile");
    else if (setup_.store.cache->is_still(*checkpoint_, precision_text(setup_.machine), model))
      setup_.store.cache->store(data_key(), model, values_);
  }
  checkpoint_.reset();
}

}  // namespace btm
