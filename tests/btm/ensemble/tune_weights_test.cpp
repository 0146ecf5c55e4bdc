#include "btm/ensemble/tune_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

TokenScores random_scores(std::size_t experts, std::size_t tokens, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(-4, 2);
  std::uniform_real_distribution<float> skill(0, 1.5);
  std::vector<float> better(experts);
  for (float& value : better) value = skill(random);
  TokenScores scores(experts);
  std::vector<float> log_p(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t e = 0; e < experts; ++e)
      log_p[e] = std::min(-1e-3F, normal(random) + better[e]);
    scores.add(log_p);
  }
  return scores;
}

std::vector<double> uniform(std::size_t experts) {
  return std::vector<double>(experts, 1.0 / static_cast<double>(experts));
}

TEST(TuneWeights, FindsTheOptimumThatCanBeComputedByHand) {
  // p = (1, 1/2) once and (1/4, 1) twice: with weight w, loss' = 0 where
  // (1/2) / (1/2 + w/2) = 2 (3/4) / (1 - 3w/4), which is w = -1/9 < 0: all weight is the second's.
  TokenScores two(2);
  two.add(std::vector<float>{0, std::log(0.5F)});
  for (int i = 0; i < 2; ++i) two.add(std::vector<float>{std::log(0.25F), 0});
  const TunedWeights edge = tune_weights(two, uniform(2));
  EXPECT_TRUE(edge.converged);
  EXPECT_NEAR(edge.weights()[1], 1, 1e-4);
  // Disjoint supports: the weights are the frequencies.
  TokenScores apart(2);
  for (int i = 0; i < 3; ++i) apart.add(std::vector<float>{-1, kNothing});
  apart.add(std::vector<float>{kNothing, -2});
  const TunedWeights split = tune_weights(apart, uniform(2));
  EXPECT_NEAR(split.weights()[0], 0.75, 1e-9);
  EXPECT_NEAR(split.trace.back().loss, -(3 * (std::log(0.75) - 1) + std::log(0.25) - 2) / 4, 1e-7);
}

/// Karush, Kuhn and Tucker: g_e = 1 where w_e > 0, and at most 1 elsewhere.
TEST(TuneWeights, MeetsTheConditionsOfOptimality) {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    const std::size_t experts = 2 + seed % 5;
    const TokenScores scores = random_scores(experts, 400, seed);
    const TunedWeights tuned = tune_weights(scores, uniform(experts), {1e-9, 1'000'000});
    ASSERT_TRUE(tuned.converged);
    std::vector<double> gains;
    const double loss = scores.loss(tuned.weights(), gains);
    double sum = 0;
    for (std::size_t e = 0; e < experts; ++e) {
      EXPECT_LE(gains[e], 1 + 2e-9);
      if (tuned.weights()[e] > 1e-3) {
        EXPECT_NEAR(gains[e], 1, 1e-5) << seed;
      }
      sum += tuned.weights()[e];
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    std::mt19937 random(seed);
    std::exponential_distribution<double> draw;
    for (int i = 0; i < 50; ++i) {
      std::vector<double> other(experts);
      double total = 0;
      for (double& weight : other) total += weight = draw(random);
      for (double& weight : other) weight /= total;
      EXPECT_GE(scores.loss(other), loss - 1e-9);
    }
  }
}

TEST(TuneWeights, NeverRaisesTheLossAndBoundsWhatIsLeft) {
  const TokenScores scores = random_scores(5, 300, 3);
  const TunedWeights tuned = tune_weights(scores, uniform(5), {1e-8, 100'000});
  EXPECT_EQ(tuned.trace.front().step, 0);
  EXPECT_NEAR(tuned.trace.front().loss, scores.loss(uniform(5)), 1e-12);
  const double best = tuned.trace.back().loss;
  for (std::size_t i = 0; i < tuned.trace.size(); ++i) {
    EXPECT_GE(best, tuned.trace[i].loss - tuned.trace[i].bound - 1e-12);
    EXPECT_LE(tuned.trace[i].loss, tuned.trace[i > 0 ? i - 1 : 0].loss + 1e-12);
  }
}

TEST(TuneWeights, StopsWhereItIsTold) {
  const TokenScores scores = random_scores(4, 300, 5);
  const TunedWeights tuned = tune_weights(scores, uniform(4), {0, 7});
  EXPECT_FALSE(tuned.converged);
  EXPECT_EQ(tuned.trace.back().step, 7);
  EXPECT_EQ(tuned.trace.size(), 8U);
}

TEST(TuneWeights, GivesNothingToAnExpertThatDoesNotTakePart) {
  TokenScores scores(3);
  for (int i = 0; i < 4; ++i)
    scores.add(std::vector<float>{-1, kNothing, i % 2 == 0 ? -2.F : -.5F});
  EXPECT_EQ(tune_weights(scores, uniform(3)).weights()[1], 0);
}

TEST(TuneWeights, RefusesScoresWithoutMeaning) {
  TokenScores scores(2);
  const std::vector<std::pair<std::vector<float>, std::string>> bad{
      {{std::nanf(""), 0}, "NaN or +inf"},
      {{-kNothing, 0}, "NaN or +inf"},
      {{kNothing, kNothing}, "probability 0 under every expert"}};
  for (const auto& [log_p, problem] : bad)
    btm_test::expect_error<std::runtime_error>([&] { scores.add(log_p); }, problem);
  btm_test::expect_error<std::invalid_argument>([&] { tune_weights(scores, uniform(2)); },
                                                "no tokens");
  scores.add(std::vector<float>{kNothing, 0});
  btm_test::expect_error<std::invalid_argument>(
      [&] {
        tune_weights(scores, {1, 0});
      },
      "the weights to start from");
}

}  // namespace
}  // namespace btm
