// From the scores of targets to the rows of an evaluation matrix.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "btm/ensemble/matrix_options.h"
#include "btm/evaluator/byte_counts.h"
#include "btm/evaluator/eval_data.h"
#include "btm/mixing/posterior.h"
#include "btm/report/evaluation_matrix.h"

namespace btm {

/// Sums over the targets of each sample. The index is the sample's in its data set.
struct SampleSums {
  std::vector<double> loss;  ///< Natural log; infinite where a target has probability 0.
  std::vector<std::int64_t> tokens;
};

/// `scores`: [B * T] of each batch, one after another.
SampleSums sum_scores(const EvalData& data, std::span<const float> scores);

/// Bytes of each sample's targets, as doubles for the bootstrap.
std::vector<double> sum_bytes(const EvalData& data, const ByteCounts& counts);

/// The result of one type of ensemble on a data set.
struct EnsembleRun {
  SampleSums sums;
  std::vector<std::vector<double>> posteriors;  ///< [batch][expert]
  std::vector<double> mean_posterior;  ///< [expert] exponentially weighted, after the last batch.
};

/// `scores` [E], each as in sum_scores().
EnsembleRun run_ensemble(const EvalData& data, std::span<const std::span<const float>> scores,
                         Posterior posterior);

/// The sums of every row on a domain, and the bytes of each sample (empty when not known) or of the
/// whole domain.
struct DomainSums {
  std::vector<SampleSums> rows;
  std::vector<double> bytes;
  std::int64_t total_bytes = 0;  ///< Given by the user.
};

/// Computes the cells and means of `matrix.rows` from `domains`. The rows have their names already.
void fill_rows(EvalMatrix& matrix, const std::vector<DomainSums>& domains,
               const EvalMatrixOptions& options);

}  // namespace btm
