// The log-probabilities that one expert gives the targets of a data set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/ensemble/score_cache.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_options.h"
#include "btm/evaluator/scorer.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/io/sha256.h"

namespace btm {

/// Marks the padding in the last column but one of every row for scoring. The release's posterior
/// depends on its log-probability.
void score_padding_before_last(Batch& batch);

/// Fills `place` [B * T] with the scores of a batch. The scorer was given only `rows`. Places that
/// were not scored become NaN.
void take_scores(const Batch& batch, std::span<const std::int64_t> rows,
                 std::span<const float> scores, std::span<float> place);

/// [B] every row of a batch.
std::vector<std::int64_t> all_rows(const Batch& batch);

/// A hash of everything but the model on which its scores depend, batch after batch.
class BatchDigest {
 public:
  explicit BatchDigest(const compat::Dictionary& dictionary);
  void add(const Batch& batch);
  std::string hex() { return hash_.hex(); }  ///< Ends the computation.

 private:
  compat::Sha256 hash_;
};

/// Where scores are kept between runs, if anywhere.
struct ScoreStore {
  ScoreCache* cache = nullptr;  ///< null: nowhere
  std::string data;             ///< BatchDigest of the batches to score
  std::size_t columns = 0;      ///< of all batches
};

/// The store for the batches of `data`.
ScoreStore store_for(const EvalData& data, ScoreCache* cache);

/// The part of the cache's name for a model that does not come from the model.
std::string precision_text(const MachineOptions& machine);

/// The rows that an expert scores, batch after batch; nothing: all of them.
using RowSelection = std::optional<std::vector<std::vector<std::int64_t>>>;

/// The common settings of all experts of a run.
struct ScoringSetup {
  const std::string& model_overrides;
  const MachineOptions& machine;
  const EvalData& data;
  const ScoreStore& store;
};

class ExpertScores {
 public:
  /// Keeps the references of `setup`.
  ExpertScores(std::string path, const ScoringSetup& setup, RowSelection selection = std::nullopt);

  /// Opens the checkpoint, and finds the scores in the store or gets ready to compute them.
  void start();
  /// Scores the expert's rows of the next batch; batches come in the order of BatchReader. Between
  /// start() and finish().
  void score(const Batch& batch);
  /// Frees the model and keeps the scores. Stores them in the cache if neither the checkpoint nor
  /// the data have changed.
  void finish();

  /// [B * T] the log-probabilities of a scored batch, NaN where nothing was scored. `offset` is the
  /// number of columns in the batches before it.
  std::span<const float> of(const Batch& batch, std::size_t offset) const {
    return all().subspan(offset, batch.size());
  }

  const std::string& path() const noexcept { return path_; }
  double perplexity() const;  ///< Of the targets scored so far.
  /// The rows that the model has scored: none where the store had the scores.
  std::int64_t rows_run() const noexcept { return rows_run_; }
  bool stored() const noexcept { return stored_.has_value(); }

 private:
  void run(const Batch& batch, std::span<const std::int64_t> rows, std::span<float> place);
  std::string data_key() const;
  std::span<const float> all() const { return stored_ ? stored_->values() : values_; }

  std::string path_;
  ScoringSetup setup_;
  RowSelection selection_;
  std::optional<Scores> stored_;  ///< The scores from the store.
  std::optional<compat::Checkpoint>
      checkpoint_;  ///< Opened once, so that the hash is that of the model that runs.
  std::future<std::string> digest_;
  std::optional<BatchDigest> scored_data_;  ///< Of the batches so far, where they are stored.
  std::unique_ptr<ModelScorer> scorer_;     ///< Loaded when the first row is wanted.
  std::vector<float> values_;               ///< The computed scores.
  std::size_t batches_ = 0, scored_ = 0;    ///< Batches and their columns so far.
  double log_prob_ = 0;
  std::int64_t targets_ = 0, rows_run_ = 0;
};

}  // namespace btm
