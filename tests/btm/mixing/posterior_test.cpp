#include "btm/mixing/posterior.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::array kRules{PosteriorRule::kLast, PosteriorRule::kFull, PosteriorRule::kNone};

using Scores = std::vector<float>;  // [E] of a token

Scores logs(Scores probabilities) {
  for (float& value : probabilities) value = std::log(value);
  return probabilities;
}

/// Three tokens, each as two experts score it.
const std::vector<Scores> kTokens{logs({0.5F, 0.25F}), logs({0.1F, 0.3F}), logs({0.2F, 0.6F})};

/// The mixture's log-probabilities of a text. The state ends behind it.
std::vector<double> mix(const Posterior& posterior, const std::vector<Scores>& tokens,
                        Posterior::State& state) {
  std::vector<double> log_probs;
  for (const Scores& token : tokens) {
    log_probs.push_back(posterior.log_prob(state, token));
    posterior.observe(state, token);
  }
  return log_probs;
}

std::vector<double> weights(const Posterior& posterior, const Posterior::State& state) {
  std::vector<double> weights = posterior.log_weights(state);
  for (double& value : weights) value = std::exp(value);
  return weights;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance = 1e-7) {  // fp32 scores
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << i;
}

std::vector<double> exponentials(std::vector<double> values) {
  for (double& value : values) value = std::exp(value);
  return values;
}

TEST(Posterior, WeighsByThePreviousTokenAlone) {
  const Posterior posterior(Prior::given({0.8, 0.2}), PosteriorRule::kLast);
  Posterior::State state = posterior.start();
  // w(0) = 1/2 whatever the prior; w_a(1) = 0.8 * 0.5 / (0.8 * 0.5 + 0.2 * 0.25); w_a(2) = 0.8 *
  // 0.1 / (0.08 + 0.06)
  const double w1 = 0.4 / 0.45, w2 = 0.08 / 0.14;
  expect_near(exponentials(mix(posterior, kTokens, state)),
              {0.375, w1 * 0.1 + (1 - w1) * 0.3, w2 * 0.2 + (1 - w2) * 0.6});
  const double w3 = 0.8 * 0.2 / (0.8 * 0.2 + 0.2 * 0.6);
  expect_near(weights(posterior, state), {w3, 1 - w3});
}

TEST(Posterior, ByBayesGivesTheProbabilityOfTheText) {
  const Posterior posterior(Prior::given({0.8, 0.2}), PosteriorRule::kFull);
  Posterior::State state = posterior.start();
  const std::vector<double> log_probs = mix(posterior, kTokens, state);
  const double a = 0.8 * 0.5 * 0.1 * 0.2, b = 0.2 * 0.25 * 0.3 * 0.6;
  EXPECT_NEAR(std::exp(log_probs[0] + log_probs[1] + log_probs[2]), a + b, 1e-8);
  expect_near(weights(posterior, state), {a / (a + b), b / (a + b)}, 1e-6);
}

TEST(Posterior, WithoutARuleKeepsThePrior) {
  const Posterior posterior(Prior::given({0.8, 0.2}), PosteriorRule::kNone);
  Posterior::State state = posterior.start();
  expect_near(exponentials(mix(posterior, kTokens, state)), {0.45, 0.14, 0.28});
  expect_near(weights(posterior, state), {0.8, 0.2}, 1e-12);
}

TEST(Posterior, OfOneExpertIsThatExpert) {
  for (const PosteriorRule rule : kRules) {
    const Posterior posterior(Prior::uniform(1), rule);
    Posterior::State state = posterior.start();
    for (const float score : {-1.25F, -300.0F, kNever, -0.5F}) {
      EXPECT_EQ(posterior.log_prob(state, Scores{score}), score);
      posterior.observe(state, Scores{score});
      EXPECT_EQ(posterior.log_weights(state), std::vector<double>{0});
    }
  }
}

TEST(Posterior, AForkGoesOnByItself) {
  for (const PosteriorRule rule : kRules) {
    const Posterior posterior(Prior::given({0.7, 0.3}), rule);
    Posterior::State trunk = posterior.start();
    posterior.observe(trunk, kTokens[0]);
    const std::vector<double> before = posterior.log_weights(trunk);
    Posterior::State fork = trunk;
    posterior.observe(fork, kTokens[1]);
    EXPECT_EQ(posterior.log_weights(trunk), before);
    Posterior::State whole = posterior.start();
    posterior.observe(whole, kTokens[0]);
    posterior.observe(whole, kTokens[1]);
    EXPECT_EQ(posterior.log_weights(fork), posterior.log_weights(whole));
    fork = trunk;  // assigned, too
    EXPECT_EQ(posterior.log_weights(fork), before);
  }
}

TEST(Posterior, DoesNotUnderflow) {
  const std::vector<Scores> tokens(2000, Scores{-800, -801});  // both 0 as fp64 probabilities
  const Posterior last(Prior::uniform(2), PosteriorRule::kLast);
  Posterior::State state = last.start();
  EXPECT_TRUE(std::isfinite(mix(last, tokens, state)[1]));
  EXPECT_NEAR(weights(last, state)[0], 1 / (1 + std::exp(-1.0)), 1e-9);
  const Posterior full(Prior::uniform(2), PosteriorRule::kFull);
  state = full.start();
  EXPECT_NEAR(mix(full, tokens, state)[1999], -800, 1e-6);
}

TEST(Posterior, KeepsThePriorWhenEveryExpertRulesATokenOut) {
  for (const PosteriorRule rule : kRules) {
    const Posterior posterior(Prior::given({0.75, 0.25}), rule);
    Posterior::State state = posterior.start();
    const std::vector<double> found = mix(posterior, {{kNever, kNever}, {-1, -1}}, state);
    EXPECT_EQ(found[0], kNever);
    EXPECT_NEAR(found[1], -1, 1e-12);
    expect_near(weights(posterior, state), {0.75, 0.25}, 1e-12);
  }
}

TEST(Posterior, AnExpertThatRulesATokenOutLosesItsWeight) {
  const std::vector<Scores> tokens{{kNever, -1}, {-1, -2}};
  const Posterior full(Prior::uniform(2), PosteriorRule::kFull);
  Posterior::State state = full.start();
  EXPECT_NEAR(mix(full, tokens, state)[1], -2, 1e-12);
  EXPECT_EQ(weights(full, state), (std::vector<double>{0, 1}));
  const Posterior last(Prior::uniform(2), PosteriorRule::kLast);  // and has it back with the next
  state = last.start();
  mix(last, tokens, state);
  EXPECT_GT(weights(last, state)[0], 0.7);
}

TEST(Posterior, RefusesAScoreThatIsNoNumber) {
  for (const float broken : {kNan, -kNever})
    for (const PosteriorRule rule : kRules) {
      const Posterior posterior(Prior::uniform(2), rule);
      Posterior::State state = posterior.start();
      posterior.observe(state, kTokens[0]);
      expect_error<std::runtime_error>(
          [&] {
            posterior.log_prob(state, Scores{-1, broken});
          },
          "expert 2 of the ensemble: no score was computed for token 2");
      if (rule != PosteriorRule::kNone)
        expect_error<std::runtime_error>(
            [&] {
              posterior.observe(state, Scores{-1, broken});
            },
            "no score was computed");
    }
}

TEST(Posterior, GivesAnAbsentExpertNoWeightAndReadsNothingOfIt) {
  const std::vector<Scores> with_gaps{
      {kTokens[0][0], kNan}, {kTokens[1][0], kNan}, {kTokens[2][0], kNan}};
  for (const PosteriorRule rule : kRules) {
    const Posterior alone(Prior::uniform(1), rule), both(Prior::uniform(2), rule);
    Posterior::State one = alone.start(), two = both.start({true, false});
    EXPECT_EQ(both.wanted(two), std::vector<std::size_t>{0});
    const std::vector<double> expected =
        mix(alone, {{kTokens[0][0]}, {kTokens[1][0]}, {kTokens[2][0]}}, one);
    EXPECT_EQ(mix(both, with_gaps, two), expected);
    EXPECT_EQ(weights(both, two), (std::vector<double>{1, 0}));

    Prior without = Prior::uniform(2);
    without.exclude(1);
    const Posterior excluded(without, rule);
    Posterior::State state = excluded.start();
    EXPECT_EQ(mix(excluded, with_gaps, state), expected);
  }
}

TEST(Posterior, RefusesATextWithoutExperts) {
  for (const PosteriorRule rule : kRules) {
    const Posterior posterior(Prior::uniform(2), rule);
    const Posterior::State state = posterior.start({false, false});
    EXPECT_TRUE(posterior.wanted(state).empty());
    expect_error<std::runtime_error>([&] { posterior.log_weights(state); },
                                     "no expert of the ensemble has a weight at token 1");
  }
}

TEST(Posterior, OfAChangedPriorIsThatOfTheTextsThatStartLater) {
  Posterior posterior(Prior::updating(2), PosteriorRule::kNone);
  const Posterior::State before = posterior.start();
  posterior.prior().update(std::vector<double>{0.9, 0.1});
  expect_near(weights(posterior, before), {0.5, 0.5}, 1e-12);
  expect_near(weights(posterior, posterior.start()), {0.9, 0.1}, 1e-12);
}

/// The expert of a token's own number, alone.
class LastToken final : public TextPrior {
 public:
  std::size_t experts() const override { return 3; }
  std::unique_ptr<Reader> open() const override { return std::make_unique<OneReader>(); }

 private:
  class OneReader final : public Reader {
   public:
    std::unique_ptr<Reader> clone() const override { return std::make_unique<OneReader>(*this); }
    void read(std::int64_t token) override { expert_ = static_cast<std::size_t>(token); }
    std::vector<double> log_prior() const override {
      std::vector<double> logs(3, kNever);
      logs[expert_] = 0;
      return logs;
    }

   private:
    std::size_t expert_ = 0;
  };
};

TEST(Posterior, FollowsAPriorOfTheText) {
  const Prior prior = Prior::of_text(std::make_shared<LastToken>());
  const Posterior posterior(prior, PosteriorRule::kNone);
  Posterior::State state = posterior.start();
  for (const std::int64_t token : {2, 1}) posterior.read(state, token);  // a prompt
  EXPECT_EQ(posterior.wanted(state), std::vector<std::size_t>{1});
  EXPECT_EQ(posterior.log_prob(state, Scores{kNan, -3, kNan}), -3);
  posterior.observe(state, Scores{kNan, -3, kNan});
  Posterior::State fork = state;
  posterior.read(fork, 0);
  EXPECT_EQ(weights(posterior, fork), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(weights(posterior, state), (std::vector<double>{0, 1, 0}));

  // What an expert shows counts later, so that with a rule all are wanted.
  const Posterior full(prior, PosteriorRule::kFull);
  EXPECT_EQ(full.wanted(full.start()), (std::vector<std::size_t>{0, 1, 2}));
}

/// The text's prior is 0 for all experts that a request leaves.
TEST(Posterior, WeighsExpertsEquallyWhereAPriorOfTheTextHasNoneOfThem) {
  Prior prior = Prior::of_text(std::make_shared<LastToken>());
  prior.leave_out(std::vector<std::size_t>{1});
  for (const PosteriorRule rule : kRules) {
    const Posterior posterior(prior, rule);
    Posterior::State state = posterior.start();
    posterior.read(state, 1);
    posterior.observe(state, Scores{-1, kNan, -1});
    expect_near(weights(posterior, state), {0.5, 0, 0.5}, 1e-12);
    EXPECT_EQ(posterior.wanted(state), (std::vector<std::size_t>{0, 2}));
    posterior.read(state, 2);
    expect_near(weights(posterior, state), {0, 0, 1}, 1e-12);
  }
}

TEST(LogSumExp, OfNothingButZeroIsZero) {
  EXPECT_EQ(log_sum_exp(std::vector<double>{kNever, kNever}), kNever);
  EXPECT_NEAR(log_sum_exp(std::vector<double>{std::log(0.25), kNever, std::log(0.5)}),
              std::log(0.75), 1e-15);
}

}  // namespace
}  // namespace btm
