// Mixes a batch that several experts have scored, row by row. Two rules are those of the release's
// ensemble_eval_lm.py, not of the mixture. Each row is a text. The reported posterior is that of
// the batch's last column, padding or not. N experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "btm/data/batches.h"
#include "btm/mixing/posterior.h"

namespace btm {

struct MixedBatch {
  std::vector<float> log_probs;   ///< [B * T]; 0 where nothing is scored.
  std::vector<double> posterior;  ///< [N] mean over the rows.
};

/// [N] whether the prior gives an expert a weight at any target of the row. A sparse mixture runs
/// only these experts.
std::vector<bool> experts_of_row(const Posterior& posterior, const Batch& batch, std::int64_t row);

/// `scores` [N][B * T] are those of a batch after score_padding_before_last(). They are empty for
/// an expert that does not take part. With `sparse`, an expert has scored only the rows that have
/// it in experts_of_row(). std::runtime_error for a score that is needed and NaN.
MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores,
                     const Posterior& posterior, bool sparse = false);

}  // namespace btm
