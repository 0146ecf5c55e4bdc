#include "btm/model/row_softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace btm {
namespace {

std::vector<float> logits(std::size_t count, float spread) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(3, spread);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

double exact(const std::vector<float>& x) {
  double max = -INFINITY, sum = 0;
  for (const float value : x) max = std::max(max, static_cast<double>(value));
  for (const float value : x) sum += std::exp(value - max);
  return max + std::log(sum);
}

TEST(RowSoftmax, SumsToWithinRoundingAtEveryLength) {
  for (const std::size_t count : {1U, 7U, 8U, 16U, 17U, 2047U, 2048U, 2049U, 50'264U}) {
    const std::vector<float> x = logits(count, 20);
    LogSumExp sum;
    sum.add(x.data(), static_cast<std::int64_t>(count));
    EXPECT_NEAR(sum.value(), exact(x), 1e-6) << count;
  }
}

TEST(RowSoftmax, TakesARowInParts) {
  const std::vector<float> x = logits(5000, 5);
  LogSumExp sum;
  EXPECT_EQ(sum.value(), -INFINITY);
  sum.add(x.data(), 123);
  sum.add(x.data() + 123, 4877);
  EXPECT_NEAR(sum.value(), exact(x), 1e-6);
}

TEST(RowSoftmax, WritesProbabilitiesTimesAScale) {
  std::vector<float> x = logits(1003, 10);
  const std::vector<float> before = x;
  const double shift = exact(x);
  exp_of_difference(x.data(), 1003, static_cast<float>(shift), 8);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = 8 * std::exp(before[i] - shift);
    EXPECT_NEAR(x[i], expected, 8e-6 * expected)
        << i;  // shift and difference, up to 70, are rounded to fp32
    sum += x[i];
  }
  EXPECT_NEAR(sum, 8, 1e-5);
}

TEST(RowSoftmax, KeepsWhatIsNotANumber) {
  for (const std::size_t at : {0U, 9U, 20U}) {  // within vector lanes and in the remainder
    std::vector<float> x(21, 1);
    x[at] = NAN;
    LogSumExp sum;
    sum.add(x.data(), 21);
    EXPECT_TRUE(std::isnan(sum.value())) << at;
  }
  std::vector<float> x(21, 1);
  x[3] = INFINITY;
  LogSumExp infinite;
  infinite.add(x.data(), 21);
  EXPECT_TRUE(std::isnan(infinite.value()));
  x[3] = -INFINITY;
  LogSumExp finite;
  finite.add(x.data(), 21);
  EXPECT_NEAR(finite.value(), 1 + std::log(20.0), 1e-6);
}

}  // namespace
}  // namespace btm
