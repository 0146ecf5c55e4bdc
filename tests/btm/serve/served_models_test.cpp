#include "btm/serve/served_models.h"

#include <gtest/gtest.h>

#include <cmath>

#include "btm/serve/protocol_error.h"

namespace btm {
namespace {

using Names = std::vector<std::string>;

ServedModels three(std::vector<double> prior = {0.5, 0.3, 0.2}) {
  return {"ensemble",
          {"law", "cs", "news"},
          Posterior(Prior::given(std::move(prior)), PosteriorRule::kLast)};
}

CompletionRequest asking(const std::string& more) {
  return read_completion_request(R"({"prompt": "a")" + more + "}");
}

std::vector<double> prior_of(ServedModels& models, const std::string& more) {
  std::vector<double> weights = models.choose(asking(more)).mixture->prior().weights();
  for (double& weight : weights) weight = std::round(weight * 1e9) / 1e9;
  return weights;
}

int status_of(ServedModels& models, const std::string& more) {
  try {
    models.choose(asking(more));
  } catch (const ProtocolError& error) {
    return error.status();
  }
  return 200;
}

TEST(ServedModels, NamesTheWholeAndEachExpert) {
  ServedModels models = three();
  EXPECT_EQ(models.names(), (Names{"ensemble", "law", "cs", "news"}));
  EXPECT_EQ(models.choose(asking("")).name, "ensemble");
  const auto whole = models.choose(asking(R"(, "model": "ensemble")"));
  EXPECT_FALSE(whole.expert);
  EXPECT_EQ(whole.mixture->rule(), PosteriorRule::kLast);
  const auto cs = models.choose(asking(R"(, "model": "cs")"));
  EXPECT_EQ(cs.expert, 1U);
  EXPECT_FALSE(cs.mixture);
  EXPECT_EQ(status_of(models, R"(, "model": "gpt")"), 404);
}

TEST(ServedModels, HasOneNameForOneModel) {
  ServedModels models("ensemble", {"seed"}, Posterior(Prior::uniform(1), PosteriorRule::kNone));
  EXPECT_EQ(models.names(), Names{"seed"});
  EXPECT_FALSE(models.choose(asking("")).expert);
  EXPECT_EQ(status_of(models, R"(, "model": "ensemble")"), 404);
  EXPECT_EQ(status_of(models, R"(, "posterior": "full")"), 400);
}

TEST(ServedModels, MakesAMixtureOnceHoweverItIsAskedFor) {
  ServedModels models = three();
  const auto mixture = [&](const std::string& more) { return models.choose(asking(more)).mixture; };
  const auto two = mixture(R"(, "without": ["cs"])");
  EXPECT_EQ(mixture(R"(, "without": ["cs", "cs"])"), two);
  EXPECT_NE(mixture(R"(, "without": ["law"])"), two);
  EXPECT_EQ(mixture(R"(, "experts": ["law", "cs"])"), mixture(R"(, "experts": ["cs", "law"])"));
  EXPECT_NE(mixture(R"(, "experts": {"law": 1, "cs": 2})"),
            mixture(R"(, "experts": {"law": 2, "cs": 1})"));
}

TEST(ServedModels, MixesAsARequestSays) {
  ServedModels models = three();
  EXPECT_EQ(prior_of(models, R"(, "experts": ["law", "cs"])"),
            (std::vector<double>{0.625, 0.375, 0}));
  EXPECT_EQ(prior_of(models, R"(, "without": "law")"), (std::vector<double>{0, 0.6, 0.4}));
  EXPECT_EQ(prior_of(models, R"(, "experts": {"news": 3, "law": 1})"),
            (std::vector<double>{0.25, 0, 0.75}));
  EXPECT_EQ(prior_of(models, R"(, "top_experts": 1)"), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(prior_of(models, R"(, "top_experts": 1, "without": ["law"])"),
            (std::vector<double>{0, 1, 0}));
  const auto full = models.choose(asking(R"(, "posterior": "full", "without": ["law"])"));
  EXPECT_EQ(full.mixture->rule(), PosteriorRule::kFull);
  EXPECT_FALSE(full.mixture->prior().takes_part(0));
  EXPECT_TRUE(full.mixture->prior().takes_part(1));
}

TEST(ServedModels, KeepsTheTopKOfEachToken) {
  ServedModels models("ensemble", {"law", "cs"},
                      Posterior(Prior::uniform(2), PosteriorRule::kNone, 1));
  EXPECT_EQ(models.choose(asking(R"(, "posterior": "full")")).mixture->top_k(), 1);
}

TEST(ServedModels, GivesEqualRequestsTheSameMixture) {
  ServedModels models = three();
  const std::string wanted = R"(, "without": ["law"])";
  EXPECT_EQ(models.choose(asking(wanted)).mixture, models.choose(asking(wanted)).mixture);
  EXPECT_NE(models.choose(asking(wanted)).mixture, models.choose(asking("")).mixture);
  for (int i = 1; i < 200; ++i)  // and does not keep all that strangers think up
    models.choose(asking(R"(, "experts": {"law": )" + std::to_string(i) + ", \"cs\": 1}"));
}

TEST(ServedModels, RefusesWhatLeavesNothing) {
  ServedModels models = three({1, 0, 0});
  EXPECT_EQ(status_of(models, R"(, "without": ["law"])"), 400);
  EXPECT_EQ(status_of(models, R"(, "experts": ["cs", "news"])"), 400);
  EXPECT_EQ(status_of(models, R"(, "experts": ["physics"])"), 400);
  EXPECT_EQ(status_of(models, R"(, "without": ["physics"])"), 400);
  EXPECT_EQ(status_of(models, R"(, "model": "cs", "posterior": "full")"), 400);
}

}  // namespace
}  // namespace btm
