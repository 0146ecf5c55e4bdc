#include "btm/evaluator/bootstrap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace btm {
namespace {

TEST(BlockSums, GroupNeighboursUpToTheSizeOfABlock) {
  const std::vector<double> values{1, 2, 3, 4, 5, 6};
  const std::vector<std::int64_t> tokens{100, 100, 200, 50, 150, 200};
  EXPECT_EQ(block_sums(values, tokens, 200), (std::vector<double>{3, 3, 9, 6}));
  EXPECT_EQ(block_sums(values, tokens, 1), values);
}

TEST(BlockSums, GiveWhatIsLeftToTheLastBlock) {
  EXPECT_EQ(block_sums(std::vector<double>{1, 2, 3}, std::vector<std::int64_t>{10, 10, 3}, 10),
            (std::vector<double>{1, 5}));
  EXPECT_EQ(block_sums(std::vector<double>{4}, std::vector<std::int64_t>{3}, 10),
            (std::vector<double>{4}));
  EXPECT_TRUE(block_sums({}, {}, 10).empty());
}

TEST(ResampledSums, DrawTheSameBlocksForEveryColumn) {
  const std::vector<std::vector<double>> columns{{1, 10, 100, 1000}, {2, 20, 200, 2000}};
  const auto sums = resampled_sums(columns, 50, 7);
  for (std::size_t r = 0; r < 50; ++r) EXPECT_DOUBLE_EQ(sums[1][r], 2 * sums[0][r]);
  EXPECT_NE(*std::ranges::max_element(sums[0]), *std::ranges::min_element(sums[0]));
}

TEST(ResampledSums, RepeatWithTheSeed) {
  const std::vector<std::vector<double>> columns{{1, 10, 100, 1000}};
  EXPECT_EQ(resampled_sums(columns, 20, 3), resampled_sums(columns, 20, 3));
  EXPECT_NE(resampled_sums(columns, 20, 3), resampled_sums(columns, 20, 4));
}

TEST(ResampledSums, SpreadAsTheStandardErrorOfASum) {
  // 400 blocks of variance 1/12: the deviation of the sum is sqrt(400 / 12) = 5.77. 2000 draws
  // estimate it within about 5%.
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back((i + 0.5) / 400);
  const auto sums = resampled_sums(std::vector<std::vector<double>>{values}, 2000, 1).front();
  const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) / 2000;
  double variance = 0;
  for (const double sum : sums) variance += (sum - mean) * (sum - mean) / 2000;
  EXPECT_NEAR(mean, 200, 0.6);
  EXPECT_NEAR(std::sqrt(variance), std::sqrt(400 / 12.0), 0.4);
}

TEST(PercentileInterval, HoldsTheMiddle) {
  std::vector<double> values(1001);
  std::iota(values.begin(), values.end(), 0.0);
  std::ranges::reverse(values);
  const Interval interval = percentile_interval(values, 0.9);
  EXPECT_NEAR(interval.low, 50, 1e-9);
  EXPECT_NEAR(interval.high, 950, 1e-9);
}

TEST(PercentileInterval, IsTheValueItselfWhenThereIsOne) {
  EXPECT_EQ(percentile_interval({3}).low, 3);
  EXPECT_EQ(percentile_interval({3}).high, 3);
  EXPECT_TRUE(std::isnan(percentile_interval({}).low));
  EXPECT_TRUE(std::isnan(percentile_interval({1, std::nan(""), 2}).high));
  EXPECT_TRUE(std::isnan(percentile_interval({1, HUGE_VAL}).low));
}

}  // namespace
}  // namespace btm
