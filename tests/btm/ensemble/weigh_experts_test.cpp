#include "btm/ensemble/weigh_experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace btm {
namespace {

/// A document of `tokens` tokens to which the experts give these probabilities, token by token.
TextScore document(const std::vector<double>& probabilities, std::size_t tokens) {
  TextScore score;
  std::vector<float> logs;
  for (const double p : probabilities) logs.push_back(static_cast<float>(std::log(p)));
  score.expert_log_probs.assign(tokens, logs);
  score.log_probs.assign(tokens, -1);
  return score;
}

TEST(WeighExperts, GivesTheMeanPosteriorOfTheDocuments) {
  const std::vector<TextScore> scores{document({0.6, 0.3, 0.1}, 1), document({0.2, 0.2, 0.4}, 1)};
  const Weighing result = weigh_experts(scores, {});
  EXPECT_EQ(result.documents, 2);
  EXPECT_EQ(result.tokens, 2);
  EXPECT_NEAR(result.posterior[0], (0.6 + 0.25) / 2, 1e-6);
  EXPECT_NEAR(result.posterior[1], (0.3 + 0.25) / 2, 1e-6);
  EXPECT_NEAR(result.posterior[2], (0.1 + 0.5) / 2, 1e-6);
  EXPECT_NEAR(result.perplexity[0], 1 / std::sqrt(0.6 * 0.2), 1e-5);
}

TEST(WeighExperts, SaysWhatFewerExpertsLose) {
  const std::vector<TextScore> scores{document({0.6, 0.3, 0.1}, 1)};
  const Weighing result = weigh_experts(scores, {});
  ASSERT_EQ(result.mixtures.size(), 3U);
  EXPECT_EQ(result.mixtures[1].experts, (std::vector<std::size_t>{0, 1}));
  EXPECT_NEAR(result.mixtures[0].perplexity, 1 / 0.6, 1e-5);
  // The prior is the posterior: 2/3 and 1/3 of the two; 0.6, 0.3 and 0.1 of all.
  EXPECT_NEAR(result.mixtures[1].perplexity, 1 / (0.6 * 2 / 3 + 0.3 / 3), 1e-5);
  EXPECT_NEAR(result.mixtures[2].perplexity, 1 / (0.36 + 0.09 + 0.01), 1e-5);
  EXPECT_NEAR(result.mixtures[0].lost, 0.46 / 0.6 - 1, 1e-5);
  EXPECT_EQ(result.mixtures[2].lost, 0);
  EXPECT_EQ(result.keep, 1U);
}

TEST(WeighExperts, KeepsAsManyAsTheToleranceAsks) {
  // Two domains: one expert alone is bad at the other domain's documents.
  const std::vector<TextScore> scores{document({0.5, 0.1, 0.05}, 20),
                                      document({0.1, 0.5, 0.05}, 20)};
  WeighOptions options;
  EXPECT_EQ(weigh_experts(scores, options).keep, 2U);
  options.tolerance = 10;
  EXPECT_EQ(weigh_experts(scores, options).keep, 1U);
}

TEST(WeighExperts, IsSurerWithMoreDocuments) {
  std::vector<TextScore> scores;
  for (int i = 0; i < 30; ++i)
    scores.push_back(i % 3 == 0 ? document({0.9, 0.1}, 2) : document({0.2, 0.8}, 2));
  const Weighing result = weigh_experts(scores, {});
  std::vector<std::int64_t> sizes;
  double width = 2;
  for (const Weighing::Growth& growth : result.growth) {
    sizes.push_back(growth.documents);
    const Interval interval = growth.interval[0];
    EXPECT_LE(interval.low, result.posterior[0]);
    EXPECT_GE(interval.high, result.posterior[0]);
    EXPECT_LE(interval.high - interval.low, width);
    width = interval.high - interval.low;
  }
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{1, 2, 5, 10, 20, 30}));
  EXPECT_LT(width, 0.4);
  EXPECT_EQ(weigh_experts(scores, {}).growth.back().interval[0].low,
            result.growth.back().interval[0].low);
}

TEST(WeighExperts, NeedsADocumentAndTwoExperts) {
  EXPECT_THROW(weigh_experts({}, {}), std::invalid_argument);
  EXPECT_THROW(weigh_experts(std::vector{document({0.5}, 2)}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace btm
