// A batch as several experts scored it, mixed row by row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/data/batches.h"
#include "btm/ensemble/mixture.h"

namespace btm {

struct MixedBatch {
  std::vector<float> log_probs;   ///< [B * T]; 0 where nothing is scored.
  std::vector<double> posterior;  ///< [E] mean over the rows.
};

/// `scores` [E][B * T], of a batch that score_padding_before_last() has marked; `log_prior` [E].
MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores, LogPrior log_prior, PosteriorRule rule, std::int64_t pad);

}  // namespace btm
