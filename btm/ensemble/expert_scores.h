// The log-probabilities that one expert gives the targets of a data set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/scorer.h"

namespace btm {

class ExpertScores {
 public:
  /// Keeps references to `options` and `data`.
  ExpertScores(std::string path, const EvalLmOptions& options, const EvalData& data);

  /// Loads the model.
  void start();
  /// Scores the next batch; batches come in the order of BatchReader. Between start() and finish().
  void score(const Batch& batch);
  /// Frees the model, keeps the scores.
  void finish();

  /// [B * T] log-probabilities of a batch that has been scored, whose columns come `offset` columns after those of the first
  /// batch: 0 where nothing is scored.
  std::span<const float> of(const Batch& batch, std::size_t offset) const {
    return std::span(values_).subspan(offset, static_cast<std::size_t>(batch.rows * batch.columns));
  }

  double perplexity() const;  ///< Of the targets scored so far.
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  const EvalLmOptions& options_;
  const EvalData& data_;
  std::unique_ptr<ModelScorer> scorer_;
  std::vector<float> values_;
  double log_prob_ = 0;
  std::int64_t targets_ = 0;
};

/// Asks for the log-probability of padding in the last column but one of every row that has ended before it: the release's
/// posterior rests on it.
void score_padding_before_last(Batch& batch, std::int64_t pad);

}  // namespace btm
