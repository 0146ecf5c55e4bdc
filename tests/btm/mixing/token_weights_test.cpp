#include "btm/mixing/token_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

namespace btm {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Log-probabilities of `size` tokens. Every seventh has one of three values, so that there are
/// equals.
std::vector<float> random_log_probs(std::size_t size, float spread, std::uint32_t seed) {
  std::mt19937 numbers(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i)
    values[i] = i % 7 == 0 ? static_cast<float>(i % 3) * 0.25F : normal(numbers);
  double sum = 0;
  for (const float value : values) sum += std::exp(static_cast<double>(value));
  for (float& value : values) value -= static_cast<float>(std::log(sum));
  return values;
}

/// All tokens in the order of the probability.
std::vector<std::size_t> sorted(const std::vector<float>& log_probs) {
  std::vector<std::size_t> order(log_probs.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t i) { return log_probs[i]; });
  return order;
}

/// The tokens that evenly spread numbers draw.
std::set<std::size_t> drawn(const TokenWeights& weights, int numbers) {
  std::set<std::size_t> tokens;
  for (int i = 0; i < numbers; ++i) tokens.insert(weights.draw((i + 0.5) / numbers));
  return tokens;
}

TEST(TokenWeights, DrawInTheOrderOfIds) {
  const std::vector<float> log_probs{std::log(0.25F), kNever, std::log(0.5F), std::log(0.25F)};
  const TokenWeights weights(log_probs);
  for (const auto& [number, token] : std::vector<std::pair<double, std::size_t>>{
           {0, 0}, {0.2499, 0}, {0.2501, 2}, {0.7499, 2}, {0.7501, 3}, {1 - 0x1p-53, 3}})
    EXPECT_EQ(weights.draw(number), token) << number;
}

/// The share of numbers that draw a token is its probability, over blocks and within them.
TEST(TokenWeights, DrawInProportion) {
  const std::vector<float> log_probs = random_log_probs(5000, 2, 1);
  const TokenWeights weights(log_probs);
  constexpr int kNumbers = 200'000;
  std::vector<double> shares(log_probs.size());
  for (int i = 0; i < kNumbers; ++i) shares[weights.draw((i + 0.5) / kNumbers)] += 1.0 / kNumbers;
  for (std::size_t i = 0; i < shares.size(); ++i)
    EXPECT_NEAR(shares[i], std::exp(log_probs[i]), 1.01 / kNumbers + 1e-6) << i;
}

TEST(TokenWeights, KeepTheFewestThatSumToAShare) {
  for (const float spread : {0.F, 0.01F, 1.F, 6.F})
    for (const double share : {1e-9, 0.1, 0.5, 0.9, 0.999}) {
      const std::vector<float> log_probs = random_log_probs(3000, spread, 2);
      const std::vector<std::size_t> order = sorted(log_probs);
      std::size_t count = 0;
      for (double sum = 0; count == 0 || sum < share; ++count)
        sum += std::exp(static_cast<double>(log_probs[order[count]]));
      TokenWeights weights(log_probs);
      weights.keep_most_probable(share);
      const std::set<std::size_t> expected(order.begin(), order.begin() + std::ptrdiff_t(count));
      const std::set<std::size_t> kept = drawn(weights, 300'000);
      // Rounding may leave the last one out or take one more; very improbable ones are not drawn.
      EXPECT_TRUE(std::ranges::includes(
          std::set<std::size_t>(order.begin(), order.begin() + std::ptrdiff_t(count + 1)), kept))
          << spread << " " << share;
      if (spread <= 1) {
        EXPECT_NEAR(double(kept.size()), double(expected.size()), 1) << share;
      }
    }
}

TEST(TokenWeights, TakeTheSmallerIdsAmongEquals) {
  const std::vector<float> log_probs(600, std::log(1.F / 600));
  TokenWeights weights(log_probs);
  weights.keep_most_probable(0.5);
  const std::set<std::size_t> kept = drawn(weights, 10'000);
  EXPECT_NEAR(double(kept.size()), 300, 1);
  EXPECT_LT(*kept.rbegin(), 301U);
}

/// As fairseq has it: forbidden tokens leave a sum below 1, to which the share is compared.
TEST(TokenWeights, KeepAllWhereTheirSumIsBelowTheShare) {
  const std::vector<float> log_probs{std::log(0.3F), kNever, std::log(0.2F), std::log(0.1F)};
  TokenWeights weights(log_probs);
  weights.keep_most_probable(0.7);
  EXPECT_EQ(drawn(weights, 100), (std::set<std::size_t>{0, 2, 3}));
  weights.keep_most_probable(0.45);
  EXPECT_EQ(drawn(weights, 100), (std::set<std::size_t>{0, 2}));
}

TEST(TokenWeights, AreEmptyWhereNothingCanBeDrawn) {
  EXPECT_TRUE(TokenWeights(std::vector<float>(300, kNever)).empty());
  EXPECT_TRUE(TokenWeights(std::vector<float>{}).empty());
  EXPECT_TRUE(TokenWeights(std::vector<float>{-1, NAN, -2}).empty());
  EXPECT_TRUE(TokenWeights(std::vector<float>{-1, INFINITY}).empty());
  TokenWeights none(std::vector<float>(300, kNever));
  none.keep_most_probable(0.5);
  EXPECT_TRUE(none.empty());
  // What is far below all others is not taken for impossible where it stands alone.
  EXPECT_EQ(TokenWeights(std::vector<float>{kNever, -500}).draw(0.5), 1U);
}

}  // namespace
}  // namespace btm
