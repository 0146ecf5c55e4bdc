#include "btm/ensemble/expert_scores.h"

#include <algorithm>
#include <cmath>

#include "btm/evaluator/load_scorer.h"

namespace btm {

ExpertScores::ExpertScores(std::string path, const EvalLmOptions& options, const EvalData& data)
    : path_(std::move(path)), options_(options), data_(data) {}

void ExpertScores::start() { scorer_ = load_scorer(open_model(path_, options_), options_, data_).scorer; }

void ExpertScores::score(const Batch& batch) {
  const at::Tensor scores = scorer_->score(batch);
  const float* const values = scores.const_data_ptr<float>();
  values_.insert(values_.end(), values, values + scores.numel());
  for (std::int64_t i = 0; i < scores.numel(); ++i) log_prob_ += values[i];
  for (const std::int64_t place : batch.scored_padding) log_prob_ -= values[place];
  targets_ += std::ranges::count_if(batch.targets, [&](std::int64_t id) { return id != data_.dictionary().pad(); });
}

double ExpertScores::perplexity() const { return targets_ > 0 ? std::exp(-log_prob_ / static_cast<double>(targets_)) : 1; }

void ExpertScores::finish() { scorer_.reset(); }

void score_padding_before_last(Batch& batch, std::int64_t pad) {
  batch.scored_padding.clear();
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const std::int64_t column = batch.columns - 2, at = row * batch.columns + column;
    if (column >= batch.first_scored[static_cast<std::size_t>(row)] && batch.targets[static_cast<std::size_t>(at)] == pad)
      batch.scored_padding.push_back(at);
  }
}

}  // namespace btm
