#include "btm/evaluator/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "btm/data/numpy_random.h"

namespace btm {

std::vector<double> block_sums(std::span<const double> values, std::span<const std::int64_t> tokens,
                               std::int64_t block_tokens) {
  std::vector<double> sums;
  std::int64_t filled = block_tokens;  // a full block: the first value opens one
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (filled >= block_tokens) {
      sums.push_back(0);
      filled = 0;
    }
    sums.back() += values[i];
    filled += tokens[i];
  }
  if (filled < block_tokens && sums.size() > 1) {
    sums[sums.size() - 2] += sums.back();
    sums.pop_back();
  }
  return sums;
}

std::vector<std::vector<double>> resampled_sums(std::span<const std::vector<double>> columns,
                                                std::int64_t resamples, std::int64_t seed) {
  std::vector<std::vector<double>> sums(
      columns.size(), std::vector<double>(static_cast<std::size_t>(resamples), 0.0));
  const auto blocks = columns.empty() ? 0 : static_cast<std::int64_t>(columns.front().size());
  if (blocks == 0) return sums;
  NumpyRandom random(seed);
  for (std::size_t r = 0; r < static_cast<std::size_t>(resamples); ++r) {
    const std::vector<std::int64_t> drawn = random.choice(blocks, blocks);
    for (std::size_t c = 0; c < columns.size(); ++c)
      for (const std::int64_t block : drawn)
        sums[c][r] += columns[c][static_cast<std::size_t>(block)];
  }
  return sums;
}

Interval percentile_interval(std::vector<double> values, double confidence) {
  if (values.empty() ||
      !std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return {std::nan(""), std::nan("")};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {at((1 - confidence) / 2), at((1 + confidence) / 2)};
}

}  // namespace btm
