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

/// Two experts over three tokens, with the weights 1/4 and 3/4: by hand.
TEST(MixedLogits, MultipliesProbabilities) {
  const std::vector<float> a{std::log(0.5F), std::log(0.25F), std::log(0.25F)};
  const std::vector<float> b{std::log(0.1F), std::log(0.8F), std::log(0.1F)};
  const double products[] = {std::pow(0.5, 0.25) * std::pow(0.1, 0.75),
                             std::pow(0.25, 0.25) * std::pow(0.8, 0.75),
                             std::pow(0.25, 0.25) * std::pow(0.1, 0.75)};
  const double total = products[0] + products[1] + products[2];
  const Want want{.target = 1, .top = 1, .distribution = true};
  Readout readout;
  Mixing mixing{{}, &want, &readout, true};
  mixing.add(a.data(), 0, std::log(0.25));
  mixing.add(b.data(), 0, std::log(0.75));
  mixing.add(nullptr, 0, -std::numeric_limits<double>::infinity());  // has no weight
  mix(mixing, 3);
  EXPECT_NEAR(readout.log_prob, std::log(products[1] / total), 1e-6);
  EXPECT_EQ(readout.top.at(0).token, 1);
  for (std::size_t v = 0; v < 3; ++v)
    EXPECT_NEAR(readout.distribution.at(v), std::log(products[v] / total), 1e-6) << v;
}

TEST(MixedLogits, SayThatAProductIsNothing) {
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  const std::vector<float> a{0, kNothing}, b{kNothing, 0};
  const Want want{.target = 1};
  Readout readout;
  Mixing mixing{{}, &want, &readout, true};
  for (const auto* expert : {&a, &b}) mixing.add(expert->data(), 0, std::log(0.5));
  mix(mixing, 2);
  EXPECT_EQ(readout.fault, "the product of the experts gives no token a probability");
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
