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

/// Asks for the log-probability of padding in the last column but one of every row that has ended
/// before it: the release's posterior rests on it.
void score_padding_before_last(Batch& batch);

/// Fills `place` [B * T] with the scores of a batch of which a scorer was given `rows`. Places that
/// were not scored become NaN.
void take_scores(const Batch& batch, std::span<const std::int64_t> rows,
                 std::span<const float> scores, std::span<float> place);

/// [B] every row of a batch.
std::vector<std::int64_t> all_rows(const Batch& batch);

/// A hash of all that the scores of a model rest on besides the model, batch after batch.
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
  std::string data;             ///< BatchDigest of what is to be scored
  std::size_t columns = 0;      ///< of all batches
};

/// The store for the batches of `data`.
ScoreStore store_for(const EvalData& data, ScoreCache* cache);

/// What the cache's name for a model depends on besides the model.
std::string precision_text(const MachineOptions& machine);

/// The rows that an expert scores, batch after batch; nothing: all of them.
using RowSelection = std::optional<std::vector<std::vector<std::int64_t>>>;

/// What all experts of a run have in common.
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
  /// Frees the model, keeps the scores, and stores them: only when the checkpoint and the data were
  /// the same throughout.
  void finish();

  /// [B * T] log-probabilities of a batch that has been scored, whose columns come `offset` columns
  /// after those of the first batch: NaN where nothing was scored.
  std::span<const float> of(const Batch& batch, std::size_t offset) const {
    return all().subspan(offset, batch.size());
  }

  double perplexity() const;  ///< Of the targets scored so far.
  std::int64_t rows_run() const noexcept {
    return rows_run_;
  }  ///< Through the model: none where the store had the scores.
  bool stored() const noexcept { return stored_.has_value(); }

 private:
  void run(const Batch& batch, std::span<const std::int64_t> rows, std::span<float> place);
  std::string data_key() const;
  std::span<const float> all() const { return stored_ ? stored_->values() : values_; }

  std::string path_;
  ScoringSetup setup_;
  RowSelection selection_;
  std::optional<Scores> stored_;                  ///< What was found in the store.
  std::optional<compat::Checkpoint> checkpoint_;  ///< What is hashed is what is run: opened once.
  std::future<std::string> digest_;
  std::optional<BatchDigest> scored_data_;  ///< Of the batches so far, where they are stored.
  std::unique_ptr<ModelScorer> scorer_;     ///< Loaded when the first row is wanted.
  std::vector<float> values_;               ///< What was computed.
  std::size_t batches_ = 0, scored_ = 0;    ///< Batches and their columns so far.
  double log_prob_ = 0;
  std::int64_t targets_ = 0, rows_run_ = 0;
};

}  // namespace btm
