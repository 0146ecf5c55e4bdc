// Confidence intervals of sums over an evaluation set by the block bootstrap: tokens of one sample
// depend on each other, so whole blocks of text are drawn, not tokens (Künsch 1989 with blocks that
// do not overlap; Koehn 2004 for paired models).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// Adds up neighbours of `values` until every group has at least `block_tokens` of `tokens` (the
/// last group takes what is left over). The two are as long as each other, in the order of the
/// text.
std::vector<double> block_sums(std::span<const double> values, std::span<const std::int64_t> tokens,
                               std::int64_t block_tokens);

/// For each of `columns` (all of the same number of blocks) its sum over each of `resamples` draws,
/// with replacement, of as many blocks as there are: [column][resample]. A draw is the same for
/// every column, so that ratios and differences of columns are paired. The same `seed` draws the
/// same blocks.
std::vector<std::vector<double>> resampled_sums(std::span<const std::vector<double>> columns,
                                                std::int64_t resamples, std::int64_t seed);

/// Below so many blocks the draws say little of how the sum would vary with other text; of one
/// block all draws are alike.
inline constexpr std::int64_t kFewestBlocks = 10;

struct Interval {
  double low = 0, high = 0;
};

/// The middle `confidence` (0.95) of `values`: the percentile interval, linear between neighbours.
/// NaN where one of them is not finite.
Interval percentile_interval(std::vector<double> values, double confidence = 0.95);

}  // namespace btm
