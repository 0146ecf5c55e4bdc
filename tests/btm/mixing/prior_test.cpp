#include "btm/mixing/prior.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "btm/mixing/ensemble_type.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;
using Weights = std::vector<double>;

TEST(EnsembleType, HasAName) {
  const std::vector<std::string> names{"cached_prior",       "updating_prior", "uniform_prior",
                                       "simple_average",     "cluster_prior",  "clustering",
                                       "product_of_experts", "bayes"};
  EXPECT_EQ(ensemble_type_names(), names);
  for (const std::string& name : names) EXPECT_EQ(name_of(ensemble_type_of(name).value()), name);
  for (const char* const other : {"", "product", "cached", "Cached_prior"})
    EXPECT_FALSE(ensemble_type_of(other)) << other;
  EXPECT_EQ(ensemble_types(),
            "cached_prior, updating_prior, uniform_prior, simple_average, cluster_prior, "
            "clustering, product_of_experts or bayes");
  EXPECT_EQ(model_ensemble_types(),
            "cached_prior, updating_prior, uniform_prior or simple_average");
  EXPECT_FALSE(model_ensemble_type_of("cluster_prior"));
  EXPECT_FALSE(model_ensemble_type_of("bayes"));
  EXPECT_EQ(model_ensemble_type_of("uniform_prior"), EnsembleType::kUniformPrior);
  EXPECT_EQ(joined_names(kUsualEnsembles), "cached_prior,updating_prior,simple_average");
}

TEST(PosteriorRule, HasAName) {
  for (const std::string& name : posterior_rule_names())
    EXPECT_EQ(name_of(posterior_rule_of(name).value()), name);
  EXPECT_EQ(posterior_rule_names(), (std::vector<std::string>{"last", "full", "none"}));
  EXPECT_FALSE(posterior_rule_of("first"));
}

TEST(PosteriorRule, FollowsTheTypeWhereNoneIsAskedFor) {
  EXPECT_EQ(default_rule(EnsembleType::kCachedPrior), PosteriorRule::kLast);
  EXPECT_EQ(default_rule(EnsembleType::kUpdatingPrior), PosteriorRule::kLast);
  EXPECT_EQ(default_rule(EnsembleType::kUniformPrior), PosteriorRule::kLast);
  EXPECT_EQ(default_rule(EnsembleType::kSimpleAverage), PosteriorRule::kNone);
  EXPECT_EQ(default_rule(EnsembleType::kClusterPrior), PosteriorRule::kNone);
}

TEST(Prior, OfATypeIsGivenOrUniform) {
  const Weights given{0.5, 0.25, 0.25}, uniform(3, 1.0 / 3);
  EXPECT_EQ(Prior::of_type(EnsembleType::kCachedPrior, 3, given).weights(), given);
  for (const EnsembleType type :
       {EnsembleType::kUpdatingPrior, EnsembleType::kUniformPrior, EnsembleType::kSimpleAverage})
    EXPECT_EQ(Prior::of_type(type, 3, given).weights(), uniform);
  expect_error<std::invalid_argument>(
      [&] { Prior::of_type(EnsembleType::kClusterPrior, 3, given); }, "prior is that of a text");
  expect_error<std::invalid_argument>([] { Prior::given({}); }, "at least one expert");
}

TEST(Prior, UpdatesToTheMeanOfThePosteriors) {
  Prior updating = Prior::updating(2), fixed = Prior::uniform(2);
  for (Prior* const prior : {&updating, &fixed}) {
    EXPECT_TRUE(prior->mean_posterior().empty());
    prior->update(Weights{1, 0});
    prior->update(Weights{0.5, 0.5});
    EXPECT_EQ(prior->mean_posterior(), (Weights{0.3 * 0.5 + 0.7 * 1, 0.3 * 0.5 + 0.7 * 0}));
  }
  EXPECT_EQ(updating.weights(), updating.mean_posterior());
  EXPECT_EQ(fixed.weights(), (Weights{0.5, 0.5}));
}

TEST(Prior, LeavesExpertsOut) {
  Prior prior = Prior::given({0.5, 0.25, 0.25});
  EXPECT_EQ(prior.active(), (std::vector<std::size_t>{0, 1, 2}));
  prior.leave_out(std::vector<std::size_t>{0});
  EXPECT_EQ(prior.weights(), (Weights{0, 0.5, 0.5}));
  EXPECT_EQ(prior.active(), (std::vector<std::size_t>{1, 2}));
  EXPECT_FALSE(prior.takes_part(0));
  expect_error<std::runtime_error>(
      [&] {
        prior.leave_out(std::vector<std::size_t>{1, 2});
      },
      "every expert that has a weight diverged");
}

TEST(TopKPrior, KeepsTheLargestAndAmongEqualOnesTheLater) {
  EXPECT_EQ(top_k_prior({0.5, 0.25, 0.25}, 2), (Weights{0.5 / 0.75, 0, 0.25 / 0.75}));
  EXPECT_EQ(top_k_prior({0.25, 0.25, 0.25, 0.25}, 1), (Weights{0, 0, 0, 1}));
  EXPECT_EQ(top_k_prior({0.5, 0.5}, 0), (Weights{0.5, 0.5}));
  EXPECT_EQ(top_k_prior({0.5, 0.5}, 2), (Weights{0.5, 0.5}));
  EXPECT_EQ(top_k_prior({0.5, 0.5}, 3), (Weights{0.5, 0.5}));
}

TEST(ParsePrior, RefusesWhatIsNoDistribution) {
  EXPECT_EQ(parse_prior("0.5,0.25,0.25", 3), (Weights{0.5, 0.25, 0.25}));
  EXPECT_EQ(parse_prior("0.333,0.333,0.333", 3), (Weights{0.333, 0.333, 0.333}));  // rounded
  const std::vector<std::pair<const char*, const char*>> bad{
      {"", "'', expected a probability"},
      {"0.5,", "'', expected a probability"},
      {"0.5,half", "'half', expected a probability"},
      {"1.5,-0.5", "'-0.5', expected a probability"},
      {"nan,1", "'nan', expected a probability"},
      {"inf,0", "'inf', expected a probability"},
      {"1", "1 probabilities for 2 experts"},
      {"0.5,0.25,0.25", "3 probabilities for 2 experts"},
      {"0.5,0.1", "the sum is 0.6, expected 1"},
  };
  for (const auto& [text, problem] : bad)
    expect_error<compat::UsageError>([&text = text] { parse_prior(text, 2); }, problem);
}

TEST(ExponentialMean, IsThatOfPandas) {
  ExponentialMean mean(0.3);
  mean.add(Weights{1});
  mean.add(Weights{2});
  mean.add(Weights{4});
  EXPECT_NEAR(mean.value()[0], 0.3 * 4 + 0.7 * (0.3 * 2 + 0.7 * 1), 1e-12);
}

}  // namespace
}  // namespace btm
