#include "btm/merge/weight_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>

#include "btm/model/layer_group.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

/// The squared distance of each group's weights from a target.
std::function<double(const GroupWeights&)> distance_from(const GroupWeights& target) {
  return [target](const GroupWeights& weights) {
    double sum = 1;
    for (std::size_t g = 0; g < weights.size(); ++g)
      for (std::size_t n = 0; n < weights[g].size(); ++n)
        sum += std::pow(weights[g][n] - target[g % target.size()][n], 2);
    return sum;
  };
}

const std::vector<double> kUniform{1.0 / 3, 1.0 / 3, 1.0 / 3};

TEST(WeightSearch, ComesCloseToTheBestWeights) {
  WeightSearchOptions options;
  options.evaluations = 200;
  const WeightSearch found =
      search_weights({kUniform}, options, distance_from({{0.7, 0.05, 0.25}}));
  EXPECT_TRUE(found.converged);
  EXPECT_LT(found.trials[found.best].loss, 1.001);
  EXPECT_LT(found.trials.size(), 100U);
}

TEST(WeightSearch, GivesEachGroupItsWeights) {
  WeightSearchOptions options;
  options.groups = 2;
  options.evaluations = 300;
  const WeightSearch found =
      search_weights({kUniform}, options, distance_from({{0.8, 0.1, 0.1}, {0.1, 0.1, 0.8}}));
  const GroupWeights& best = found.trials[found.best].weights;
  EXPECT_NEAR(best[0][0], 0.8, 0.05);
  EXPECT_NEAR(best[1][2], 0.8, 0.05);
}

TEST(WeightSearch, IsNeverWorseThanItsStartsAndKeepsToItsBudget) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    WeightSearchOptions options;
    options.seed = seed;
    options.evaluations = 1 + seed;
    const auto loss = [&](const GroupWeights& weights) {
      return 3 + std::sin(static_cast<double>(seed) * 17 * weights[0][0]) + weights[0][1];
    };
    const WeightSearch found = search_weights({kUniform, {0.9, 0.1, 0}}, options, loss);
    EXPECT_LE(found.trials.size(), options.evaluations);
    for (const WeightSearch::Trial& trial : found.trials) {
      EXPECT_GE(trial.loss, found.trials[found.best].loss);
      EXPECT_NEAR(std::accumulate(trial.weights[0].begin(), trial.weights[0].end(), 0.0), 1, 1e-12);
    }
  }
}

TEST(WeightSearch, DependsOnItsSeedAlone) {
  WeightSearchOptions options;
  const auto loss = distance_from({{0.2, 0.5, 0.3}});
  const auto weights_of = [&] {
    std::vector<GroupWeights> weights;
    for (const auto& trial : search_weights({kUniform}, options, loss).trials)
      weights.push_back(trial.weights);
    return weights;
  };
  const auto first = weights_of();
  EXPECT_EQ(weights_of(), first);
  std::set<std::vector<GroupWeights>> orders;
  for (options.seed = 1; options.seed <= 6; ++options.seed) orders.insert(weights_of());
  EXPECT_GT(orders.size(), 1U);
}

TEST(WeightSearch, RefusesWhatHasNoMeaning) {
  const auto loss = distance_from({{1, 0, 0}});
  const auto refuse = [&](const std::vector<std::vector<double>>& starts, const char* problem) {
    btm_test::expect_error<std::invalid_argument>([&] { search_weights(starts, {}, loss); },
                                                  problem);
  };
  refuse({}, "needs a start");
  refuse({{}}, "a weight of 0 or more");
  refuse({kUniform, {1, 0}}, "a weight of 0 or more");
  refuse({{-1, 1, 1}}, "a weight of 0 or more");
  btm_test::expect_error<std::runtime_error>(
      [&] { search_weights({kUniform}, {}, [](const GroupWeights&) { return std::nan(""); }); },
      "not finite");
}

TEST(LayerGroup, CutsTheLayersInRuns) {
  const auto group = [](std::string_view tensor, bool tied_output = false) {
    return layer_group(tensor, 6, 3, tied_output);
  };
  EXPECT_EQ(group("decoder.embed_tokens.weight"), 0U);
  EXPECT_EQ(group("decoder.layers.0.fc1.weight"), 0U);
  EXPECT_EQ(group("decoder.layers.2.fc1.weight"), 1U);
  EXPECT_EQ(group("decoder.layers.5.fc1.weight"), 2U);
  EXPECT_EQ(group("decoder.layers.99.fc1.weight"), 2U);
  EXPECT_EQ(group("decoder.layers.x.fc1.weight"), 0U);
  EXPECT_EQ(group("decoder.layer_norm.bias"), 2U);
  EXPECT_EQ(group("decoder.output_projection.weight"), 2U);
  EXPECT_EQ(group("decoder.output_projection.weight", true), 0U);  // it is the embedding
  EXPECT_EQ(group("decoder.layer_norm.bias", true), 2U);
}

}  // namespace
}  // namespace btm
