// The log-probabilities that one expert gives the targets of a data set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "btm/ensemble/score_cache.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/scorer.h"
#include "compat/checkpoint.h"

namespace btm {

/// Asks for the log-probability of padding in the last column but one of every row that has ended before it: the release's
/// posterior rests on it.
void score_padding_before_last(Batch& batch, std::int64_t pad);

/// Where scores are kept between runs, if anywhere.
struct ScoreStore {
  ScoreCache* cache = nullptr;  ///< null: nowhere
  std::string data;             ///< a hash of what is scored
  std::size_t columns = 0;      ///< of all batches
};

/// The store for the batches of `data`. `selection` says what else decides which rows an expert scores.
ScoreStore store_for(const EvalData& data, const std::string& selection, ScoreCache* cache);

/// The cache's name for what a model, opened under `options`, gives.
std::string model_digest(ScoreCache& cache, const compat::Checkpoint& checkpoint, const EvalLmOptions& options);

class ExpertScores {
 public:
  /// Keeps references to `options`, `data` and `store`.
  ExpertScores(std::string path, const EvalLmOptions& options, const EvalData& data, const ScoreStore& store);

  /// Finds the scores in the store, or gets ready to compute them.
  void start();
  /// Scores `rows` of the next batch; batches come in the order of BatchReader. Between start() and finish().
  void score(const Batch& batch, std::span<const std::int64_t> rows);
  /// Frees the model, keeps the scores, and stores them.
  void finish();

  /// [B * T] log-probabilities of a batch that has been scored, whose columns come `offset` columns after those of the first
  /// batch: 0 where nothing was scored.
  std::span<const float> of(const Batch& batch, std::size_t offset) const {
    return std::span(values_).subspan(offset, static_cast<std::size_t>(batch.rows * batch.columns));
  }

  double perplexity() const;  ///< Of the targets scored so far.
  std::int64_t rows_run() const noexcept { return rows_run_; }  ///< Through the model: none where the store had the scores.
  bool stored() const noexcept { return stored_; }

 private:
  void run(const Batch& batch, std::span<const std::int64_t> rows, std::size_t offset);
  std::string digest() const;

  std::string path_;
  const EvalLmOptions& options_;
  const EvalData& data_;
  const ScoreStore& store_;
  bool stored_ = false;
  std::future<std::string> digest_;
  std::unique_ptr<ModelScorer> scorer_;  ///< Loaded when the first row is wanted.
  std::vector<float> values_;
  std::size_t scored_ = 0;  ///< Columns of the batches so far.
  double log_prob_ = 0;
  std::int64_t targets_ = 0, rows_run_ = 0;
};

}  // namespace btm
