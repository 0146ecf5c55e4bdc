// A batch as several experts scored it, mixed row by row, with the rules of the release's
// ensemble_eval_lm.py that are none of the mixture's own: each row is a text, and the posterior
// that it reports is that of the batch's last column, padding or not. N experts.
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

/// [N] whether the prior gives an expert a weight at any of the row's targets: what a sparse
/// mixture runs.
std::vector<bool> experts_of_row(const Posterior& posterior, const Batch& batch, std::int64_t row);

/// `scores` [N][B * T], of a batch that score_padding_before_last() has marked; an expert that does
/// not take part has none. `sparse`: an expert was run on the rows alone that have it in
/// experts_of_row(). std::runtime_error for a score that is wanted and NaN.
MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores,
                     const Posterior& posterior, bool sparse = false);

}  // namespace btm
