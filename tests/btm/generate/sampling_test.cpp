#include "btm/generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include "btm/generate/generator.h"
#include "tests/btm/generate/fake_predictor.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::FakePredictor;
using Tokens = std::vector<std::int64_t>;

constexpr std::size_t kSamples = 4000;
/// chi-square with 5 degrees of freedom passes this once in 10,000 times. The seed is fixed.
constexpr double kChiSquareOfFive = 25.74;

/// Three experts that disagree; tokens 2 (end of sentence) to 7.
std::vector<double> opinions(std::size_t expert, const Tokens&) {
  if (expert == 0) return {0, 0, 0.05, 0.05, 0.6, 0.1, 0.1, 0.1};
  if (expert == 1) return {0, 0, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1};
  return {0, 0, 0.3, 0.1, 0.05, 0.05, 0.2, 0.3};
}
const std::vector<double> kWeights{0.5, 0.3, 0.2};

GenerateOptions sampling(std::int64_t samples, std::int64_t new_tokens = 1) {
  GenerateOptions options;
  options.beam = samples;
  options.max_len_b = new_tokens;
  options.min_len = 0;
  options.sampling.emplace();
  return options;
}

std::vector<std::vector<Hypothesis>> run(FakePredictor& model, const std::vector<Tokens>& prompts,
                                         const GenerateOptions& options) {
  Generator generator(model, {}, {.batch = 64});
  for (const Tokens& prompt : prompts) generator.submit(prompt, options);
  std::vector<std::vector<Hypothesis>> all(prompts.size());
  while (generator.busy())
    for (Generated& ended : generator.step()) all[ended.prompt] = std::move(ended.hypotheses);
  EXPECT_EQ(model.open_rows(), 0U);
  return all;
}

/// How often each token comes first.
std::vector<double> first_tokens(const std::vector<Hypothesis>& texts, std::size_t vocab) {
  std::vector<double> counts(vocab);
  for (const Hypothesis& text : texts) ++counts.at(static_cast<std::size_t>(text.tokens.at(0)));
  return counts;
}

double chi_square(const std::vector<double>& counts, const std::vector<double>& probabilities) {
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * static_cast<double>(kSamples);
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << i;
      continue;
    }
    sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  return sum;
}

TEST(DrawToken, TakesAForcedTokenHoweverImprobable) {
  Readout readout;
  readout.top = {{2, -2000.0F}};  // exp(-2000) is 0 in a double
  RandomStream random(1, Tokens{5}, 0);
  EXPECT_EQ(draw_token(readout, {}, random).token, 2);
  readout.top = {{2, -std::numeric_limits<float>::infinity()}};
  EXPECT_EQ(draw_token(readout, {}, random).token, -1);
}

TEST(Sampling, DrawsFromTheMixture) {
  FakePredictor model(8, opinions, kWeights);
  const auto texts = run(model, {{}}, sampling(kSamples));
  EXPECT_LT(chi_square(first_tokens(texts[0], 8), model.probabilities({})), kChiSquareOfFive);
}

TEST(OneExpertPerToken, DrawsAsTheMixtureDoes) {
  FakePredictor model(8, opinions, kWeights);
  GenerateOptions options = sampling(kSamples, 2);
  options.sampling->one_expert_per_token = true;
  options.sampling->seed = 3;
  const auto texts = run(model, {{}}, options);
  EXPECT_EQ(model.experts_asked, (std::set<std::size_t>{0, 1, 2})) << "the mixture was run";
  EXPECT_LT(chi_square(first_tokens(texts[0], 8), model.probabilities({})), kChiSquareOfFive);
  // The test can fail: the distribution of one expert, or with equal weights, is far away.
  EXPECT_GT(chi_square(first_tokens(texts[0], 8), model.probabilities({}, 0)), 200);
  FakePredictor uniform(8, opinions, {1.0 / 3, 1.0 / 3, 1.0 / 3});
  EXPECT_GT(chi_square(first_tokens(texts[0], 8), uniform.probabilities({})), 200);
}

TEST(OneExpertPerToken, ReadsOneExpertForATokenAndSaysWhich) {
  FakePredictor model(8, opinions, kWeights);
  Generator generator(model, {}, {.batch = 4});
  GenerateOptions options = sampling(1, 40);
  options.sampling->one_expert_per_token = true;
  generator.submit({4, 5, 6}, options);
  std::vector<Generated> ended;
  while (generator.busy()) ended = generator.step();
  ASSERT_EQ(ended.size(), 1U);
  const Hypothesis& text = ended[0].hypotheses.at(0);
  EXPECT_EQ(text.experts.size() + 3, text.tokens.size());
  EXPECT_TRUE(std::isnan(text.positional_scores[0])) << "an expert read the prompt for its score";
  EXPECT_EQ(generator.counts().expert_reads, generator.counts().new_tokens);
  double total = 0;
  for (std::size_t i = 3; i < text.tokens.size(); ++i) {
    const auto p = model.probabilities({}, text.experts[i - 3]);
    EXPECT_NEAR(text.positional_scores[i], std::log(p[static_cast<std::size_t>(text.tokens[i])]),
                1e-6);
    total += text.positional_scores[i];
  }
  EXPECT_NEAR(text.score, total / static_cast<double>(text.experts.size()), 1e-9);
}

TEST(OneExpertPerToken, RefusesWhatWouldDistort) {
  GenerateOptions options = sampling(1);
  options.sampling->one_expert_per_token = true;
  check_options(options);
  GenerateOptions bad = options;
  bad.temperature = 0.8;
  expect_error<std::invalid_argument>([&] { check_options(bad); }, "--temperature 1");
  bad = options;
  bad.sampling->topp = 0.9;
  expect_error<std::invalid_argument>([&] { check_options(bad); }, "--sampling-topp");
  bad = options;
  bad.sampling->topk = 10;
  expect_error<std::invalid_argument>([&] { check_options(bad); }, "--sampling-topk");
  bad = options;
  bad.block_ngrams = 3;
  expect_error<std::invalid_argument>([&] { check_options(bad); }, "n-grams");
}

TEST(Sampling, TakesTheMostProbable) {
  FakePredictor model(8, opinions);  // 4: 0.6; 5, 6, 7: 0.1; 2, 3: 0.05
  GenerateOptions options = sampling(kSamples);
  options.sampling->topk = 2;  // among equals the smaller id
  const auto topk = run(model, {{}}, options);
  std::vector<double> expected(8);
  expected[4] = 0.6 / 0.7;
  expected[5] = 0.1 / 0.7;
  EXPECT_LT(chi_square(first_tokens(topk[0], 8), expected), kChiSquareOfFive);
  // Scores are not normalised again, as in fairseq.
  EXPECT_NEAR(topk[0][0].positional_scores[0], std::log(0.6), 1e-6);

  options.sampling->topk = -1;
  options.sampling->topp = 0.75;  // 0.6 + 0.1 is less, so that a third token belongs to it
  expected[4] = 0.6 / 0.8;
  expected[5] = expected[6] = 0.1 / 0.8;
  const auto topp = run(model, {{}}, options);
  EXPECT_LT(chi_square(first_tokens(topp[0], 8), expected), kChiSquareOfFive);
  options.sampling->topp = 0.5;  // the first alone
  const auto first = run(model, {{}}, options);
  for (const Hypothesis& text : first[0]) EXPECT_EQ(text.tokens[0], 4);
}

TEST(Sampling, GivesTheSameTextInEveryPlaceOfEveryBatch) {
  FakePredictor model(8, opinions, kWeights);
  GenerateOptions options = sampling(3, 12);
  options.min_len = 6;
  const auto together = run(model, {{4}, {5, 6}, {7}, {4, 4}, {}}, options);
  const auto alone = run(model, {{7}}, options);
  ASSERT_EQ(alone[0].size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(alone[0][i].tokens, together[2][i].tokens);
  options.sampling->seed = 2;
  EXPECT_NE(run(model, {{7}}, options)[0][0].tokens, alone[0][0].tokens);
  EXPECT_NE(alone[0][0].tokens, alone[0][1].tokens) << "samples share a stream";
}

TEST(RandomStream, IsTheSameOnEveryMachine) {
  RandomStream random(1, Tokens{4, 5}, 0);
  EXPECT_NEAR(random.number(), 0.395873, 1e-6);
}

TEST(DrawIndex, NeedsAPositiveSum) {
  RandomStream random(1, {}, 0);
  EXPECT_EQ(draw_index(std::vector<double>{0, 0, 2}, random), 2U);
  expect_error<std::invalid_argument>(
      [&] {
        draw_index(std::vector<double>{0, 0}, random);
      },
      "positive");
  expect_error<std::invalid_argument>(
      [&] {
        draw_index(std::vector<double>{1, NAN}, random);
      },
      "finite");
}

}  // namespace
}  // namespace btm
