// Confidence intervals of sums over an evaluation set by the block bootstrap. Tokens of one sample
// depend on each other, so the bootstrap draws whole blocks of text. Sources: Künsch 1989, with
// blocks that do not overlap; Koehn 2004 for paired models.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// Adds up neighbours of `values` until every group has at least `block_tokens` of `tokens`. The
/// last group takes the rest. Both have an entry for each sample, in the order of the text.
std::vector<double> block_sums(std::span<const double> values, std::span<const std::int64_t> tokens,
                               std::int64_t block_tokens);

/// [column][resample] the sum of each of `columns` over each of `resamples` draws. All columns have
/// the same number of blocks, and a draw takes that many, with replacement. A draw is the same for
/// every column, so that ratios and differences of columns are paired. The same `seed` draws the
/// same blocks.
std::vector<std::vector<double>> resampled_sums(std::span<const std::vector<double>> columns,
                                                std::int64_t resamples, std::int64_t seed);

/// With fewer blocks the draws say little about how the sum varies with the text. With one block
/// all draws are equal.
inline constexpr std::int64_t kFewestBlocks = 10;

struct Interval {
  double low = 0, high = 0;
};

/// The middle `confidence` (0.95) of `values`: the percentile interval, linear between neighbours.
/// NaN where one of them is not finite.
Interval percentile_interval(std::vector<double> values, double confidence = 0.95);

}  // namespace btm
