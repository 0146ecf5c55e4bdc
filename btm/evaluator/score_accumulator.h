// Adds up the log-probabilities of targets as fairseq's eval_lm does.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/data/batches.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/word_scores.h"

namespace btm {

class ScoreAccumulator {
 public:
  /// Keeps references to all three.
  ScoreAccumulator(const WordOptions& options, const compat::Dictionary& dictionary,
                   const EvalLmObserver& observer)
      : options_(options), observer_(observer), words_(dictionary, options.post_process) {}

  /// Adds `scores` [B * T] (natural logs) of the batch's scored columns to the counts and the loss
  /// of `report`. A target of probability 0 makes the loss infinite; fairseq leaves it out.
  void add(const Batch& batch, std::span<const float> scores, EvalLmReport& report);
  /// Number of targets so far that are padding before another target of their row. They are not
  /// scored.
  std::int64_t padding_amid_rows() const noexcept { return padding_amid_rows_; }
  std::vector<WordStat> word_stats() const { return words_.sorted_stats(); }

 private:
  void add_row(std::int64_t id, std::span<const std::int64_t> tokens, std::vector<double>& scores,
               EvalLmReport& report);

  const WordOptions& options_;
  const EvalLmObserver& observer_;
  WordScores words_;
  std::vector<std::int64_t> row_tokens_;
  std::vector<double> row_scores_;
  std::int64_t padding_amid_rows_ = 0;
};

/// Prints the statistics of words and the last lines of fairseq-eval-lm, and warns of tokens of
/// probability 0. IoError when nothing was scored.
void log_results(const EvalLmReport& report, const EvalDataOptions& data,
                 const EvalLmObserver& observer);

}  // namespace btm
