#include "btm/mixing/mixed_logits.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace btm {
namespace {

/// Logits of V tokens, other ones for each expert.
std::vector<float> logits_of(int expert, int tokens) {
  std::vector<float> logits;
  for (int v = 0; v < tokens; ++v)
    logits.push_back(static_cast<float>(std::sin(v * 0.7 + expert) * 20));
  return logits;
}

TEST(MixedLogits, SumsProbabilities) {
  const std::vector<float> a{1, -2, 0}, b{0, 3, -std::numeric_limits<float>::infinity()};
  const std::vector<WeightedLogits> both{{a.data(), -0.5}, {b.data(), -1.5}};
  std::vector<float> mixed(3);
  mix_logits(both, mixed);
  EXPECT_FLOAT_EQ(mixed[0], static_cast<float>(std::log(std::exp(0.5) + std::exp(-1.5))));
  EXPECT_FLOAT_EQ(mixed[1], static_cast<float>(std::log(std::exp(-2.5) + std::exp(1.5))));
  EXPECT_FLOAT_EQ(mixed[2], -0.5F);
  mix_logits(std::span(both).first(1), mixed);
  EXPECT_EQ(mixed, (std::vector<float>{0.5F, -2.5F, -0.5F}));
}

TEST(MixedLogits, HaveTheSameBitsOnAnyNumberOfThreads) {
  constexpr int kTokens = 5000;
  const std::vector<float> a = logits_of(0, kTokens), b = logits_of(1, kTokens);
  const std::vector<WeightedLogits> both{{a.data(), -3}, {b.data(), -4}};
  const int threads = at::get_num_threads();
  std::vector<float> one(kTokens), several(kTokens);
  at::set_num_threads(1);
  mix_logits(both, one);
  at::set_num_threads(3);
  mix_logits(both, several);
  at::set_num_threads(threads);
  EXPECT_EQ(one, several);
}

TEST(TopTokens, TakesTheSmallerIdAmongEquals) {
  const std::vector<float> log_probs{-2, -1, -3, -1, -1};
  std::vector<std::int64_t> best;
  for (const TopToken& token : top_tokens(log_probs, 3)) best.push_back(token.token);
  EXPECT_EQ(best, (std::vector<std::int64_t>{1, 3, 4}));
  EXPECT_EQ(top_tokens(log_probs, 9).size(), 5U);
}

}  // namespace
}  // namespace btm
