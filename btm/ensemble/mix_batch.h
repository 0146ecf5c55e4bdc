// A batch as several experts scored it, mixed row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "btm/data/batches.h"
#include "btm/ensemble/mixture.h"

namespace btm {

struct MixedBatch {
  std::vector<float> log_probs;   ///< [B * T]; 0 where nothing is scored.
  std::vector<double> posterior;  ///< [E] mean over the rows.
};

/// A LogPrior of a row, whose scored_columns() are `columns`.
using RowPrior =
    std::function<std::vector<double>(std::int64_t row, std::span<const std::int64_t> columns)>;

/// `scores` [E][B * T], of a batch that score_padding_before_last() has marked. `sparse`: an expert
/// without weight in a row was not run on it.
MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores,
                     const RowPrior& log_prior, PosteriorRule rule, std::int64_t pad,
                     bool sparse = false);

}  // namespace btm
