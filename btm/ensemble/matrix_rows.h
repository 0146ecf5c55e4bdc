// From the scores of targets to the rows of an evaluation matrix.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "btm/ensemble/eval_matrix.h"
#include "btm/evaluator/byte_counts.h"
#include "btm/evaluator/eval_data.h"
#include "btm/mixing/posterior.h"

namespace btm {

/// Sums over the targets of each sample, by the sample's index in its data set.
struct SampleSums {
  std::vector<double> loss;  ///< Natural log; infinite where a target has probability 0.
  std::vector<std::int64_t> tokens;
};

/// `scores`: [B * T] of each batch, one after another.
SampleSums sum_scores(const EvalData& data, std::span<const float> scores);

/// Bytes of each sample's targets, as doubles for the bootstrap.
std::vector<double> sum_bytes(const EvalData& data, const ByteCounts& counts);

/// How one type of ensemble fares on a data set.
struct EnsembleRun {
  SampleSums sums;
  std::vector<std::vector<double>> posteriors;  ///< [batch][expert]
  std::vector<double> mean_posterior;  ///< [expert] exponentially weighted, after the last batch.
};

/// `scores` [E] as of sum_scores.
EnsembleRun run_ensemble(const EvalData& data, std::span<const std::span<const float>> scores,
                         Posterior posterior);

/// What is known of a domain: every row's sums, and bytes by sample (empty: not known) or of the
/// whole.
struct DomainSums {
  std::vector<SampleSums> rows;
  std::vector<double> bytes;
  std::int64_t total_bytes = 0;  ///< Given by the user; then `bytes` follow the tokens.
};

/// Fills the cells and means of `matrix.rows` (names are there) from `domains`.
void fill_rows(EvalMatrix& matrix, const std::vector<DomainSums>& domains,
               const EvalMatrixOptions& options);

}  // namespace btm
