#include "btm/ensemble/mixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

/// The probabilities of three targets from two experts.
struct TwoExperts {
  std::vector<float> a = logs({0.5F, 0.1F, 0.2F}), b = logs({0.25F, 0.3F, 0.6F});
  BlockScores block() const { return {{a, b}, {a[1], b[1]}}; }

  static std::vector<float> logs(std::vector<float> values) {
    for (float& value : values) value = std::log(value);
    return values;
  }
};

void expect_probabilities(const std::vector<double>& log_probs,
                          const std::vector<double>& expected) {
  ASSERT_EQ(log_probs.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(std::exp(log_probs[i]), expected[i], 1e-7) << i;  // fp32 scores
}

TEST(MixBlock, WeighsByThePreviousTargetAlone) {
  const TwoExperts experts;
  const MixedBlock mixed =
      mix_block(experts.block(), log_of(std::vector<double>{0.8, 0.2}), PosteriorRule::kLast);
  // w(0) = 1/2 with any prior; w_a(1) = 0.8 * 0.5 / (0.8 * 0.5 + 0.2 * 0.25); w_a(2) = 0.8 * 0.1 /
  // (0.08 + 0.06)
  const double w1 = 0.4 / 0.45, w2 = 0.08 / 0.14;
  expect_probabilities(mixed.log_probs,
                       {0.375, w1 * 0.1 + (1 - w1) * 0.3, w2 * 0.2 + (1 - w2) * 0.6});
  EXPECT_NEAR(mixed.posterior[0], w2, 1e-7);
}

TEST(MixBlock, ByBayesGivesTheProbabilityOfTheBlock) {
  const TwoExperts experts;
  const MixedBlock mixed =
      mix_block(experts.block(), log_of(std::vector<double>{0.8, 0.2}), PosteriorRule::kFull);
  const double a = 0.8 * 0.5 * 0.1 * 0.2, b = 0.2 * 0.25 * 0.3 * 0.6;
  EXPECT_NEAR(std::exp(mixed.log_probs[0] + mixed.log_probs[1] + mixed.log_probs[2]), a + b, 1e-8);
  EXPECT_NEAR(mixed.posterior[0], a / (a + b), 1e-6);
}

TEST(MixBlock, WithoutPosteriorKeepsThePriorOfEachTarget) {
  const TwoExperts experts;
  const std::vector<double> prior = log_of(std::vector<double>{1, 0, 0.5, 0.5, 0, 1});
  const MixedBlock mixed = mix_block(experts.block(), prior, PosteriorRule::kNone);
  expect_probabilities(mixed.log_probs, {0.5, 0.2, 0.6});
  EXPECT_NEAR(mixed.posterior[0], 0.5, 1e-12);
}

TEST(MixBlock, DoesNotUnderflow) {
  const std::vector<float> a(2000, -800.0F), b(2000, -801.0F);  // both 0 as fp64 probabilities
  const MixedBlock mixed = mix_block({{a, b}, {a[0], b[0]}}, log_of(std::vector<double>{0.5, 0.5}),
                                     PosteriorRule::kLast);
  EXPECT_NEAR(mixed.posterior[0], 1 / (1 + std::exp(-1.0)), 1e-9);
  EXPECT_TRUE(std::isfinite(mixed.log_probs[1]));
  const MixedBlock full =
      mix_block({{a, b}, {}}, log_of(std::vector<double>{0.5, 0.5}), PosteriorRule::kFull);
  EXPECT_NEAR(full.log_probs[1999], -800, 1e-6);
}

TEST(MixBlock, KeepsThePriorWhenEveryExpertRulesATargetOut) {
  const float never = -std::numeric_limits<float>::infinity();
  const std::vector<float> a{never, -1}, b{never, -1};
  const MixedBlock mixed = mix_block({{a, b}, {never, never}},
                                     log_of(std::vector<double>{0.75, 0.25}), PosteriorRule::kLast);
  EXPECT_EQ(mixed.log_probs[0], kNever);
  EXPECT_NEAR(mixed.log_probs[1], -1, 1e-12);
  EXPECT_NEAR(mixed.posterior[0], 0.75, 1e-12);
}

TEST(MixBlock, OfOneColumnHasSeenNothing) {
  const std::vector<float> a{-1}, b{-2};
  EXPECT_EQ(mix_block({{a, b}, {}}, log_of(std::vector<double>{0.9, 0.1}), PosteriorRule::kLast)
                .posterior,
            (std::vector<double>{0.5, 0.5}));
}

TEST(MixBlock, RefusesAScoreThatWasNotComputed) {
  TwoExperts experts;
  const std::vector<double> uniform = log_of(std::vector<double>{0.5, 0.5});
  experts.b[1] = std::numeric_limits<float>::quiet_NaN();
  for (const PosteriorRule rule :
       {PosteriorRule::kLast, PosteriorRule::kFull, PosteriorRule::kNone})
    btm_test::expect_error<std::runtime_error>(
        [&] { mix_block(experts.block(), uniform, rule); },
        "expert 2 of the ensemble: no score was computed for target 2");
}

TEST(MixBlock, GivesAnAbsentExpertNoWeightAndReadsNothingOfIt) {
  TwoExperts experts;
  const BlockScores alone{{experts.a}, {experts.a[1]}};
  std::ranges::fill(experts.b, std::numeric_limits<float>::quiet_NaN());
  BlockScores block = experts.block();
  block.absent = {false, true};
  for (const PosteriorRule rule :
       {PosteriorRule::kLast, PosteriorRule::kFull, PosteriorRule::kNone}) {
    const MixedBlock mixed = mix_block(block, log_of(std::vector<double>{0.5, 0}), rule);
    EXPECT_EQ(mixed.log_probs, mix_block(alone, log_of(std::vector<double>{1}), rule).log_probs);
    EXPECT_EQ(mixed.posterior, (std::vector<double>{1, 0}));
  }
}

TEST(ExpertsWithWeight, AreThoseOfAnyTarget) {
  EXPECT_EQ(experts_with_weight(log_of(std::vector<double>{1, 0, 0, 0, 0, 1}), 3),
            (std::vector<std::size_t>{0, 2}));
  EXPECT_TRUE(experts_with_weight({}, 3).empty());
}

TEST(TopKPrior, KeepsTheLargestAndAmongEqualOnesTheLater) {
  EXPECT_EQ(top_k_prior({0.5, 0.25, 0.25}, 2), (std::vector<double>{0.5 / 0.75, 0, 0.25 / 0.75}));
  EXPECT_EQ(top_k_prior({0.5, 0.5}, 0), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(top_k_prior({0.5, 0.5}, 3), (std::vector<double>{0.5, 0.5}));
}

TEST(ExponentialMean, IsThatOfPandas) {
  ExponentialMean mean(0.3);
  mean.add(std::vector<double>{1});
  mean.add(std::vector<double>{2});
  mean.add(std::vector<double>{4});
  EXPECT_NEAR(mean.value()[0], 0.3 * 4 + 0.7 * (0.3 * 2 + 0.7 * 1), 1e-12);
}

}  // namespace
}  // namespace btm
