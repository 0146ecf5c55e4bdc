#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

#include "btm/generate/generator.h"
#include "tests/btm/generate/fake_predictor.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::FakePredictor;
using Tokens = std::vector<std::int64_t>;

constexpr std::int64_t kEos = 2, kA = 4, kB = 5, kC = 6;

/// bos, pad, eos, unk, a, b, c. A text that begins with b is good once c follows; a looks better at
/// first.
std::vector<double> tricky(std::size_t, const Tokens& text) {
  if (text.empty()) return {0, 0.1, 0, 0, 0.5, 0.35, 0.05};
  if (text.back() == kA) return {0, 0, 0.2, 0, 0.3, 0.3, 0.2};
  if (text.back() == kB) return {0, 0, 0.05, 0, 0, 0.05, 0.9};
  return {0, 0, 0.9, 0, 0, 0, 0.1};
}

std::vector<Hypothesis> run(FakePredictor& model, const Tokens& prompt,
                            const GenerateOptions& options) {
  Generator generator(model, {}, {.batch = 64});
  generator.submit(prompt, options);
  std::vector<Generated> all;
  while (generator.busy())
    for (Generated& ended : generator.step()) all.push_back(std::move(ended));
  EXPECT_EQ(model.open_rows(), 0U);
  EXPECT_EQ(all.size(), 1U);
  return all.empty() ? std::vector<Hypothesis>{} : all[0].hypotheses;
}

GenerateOptions options(std::int64_t beam, std::int64_t max_len = 4) {
  GenerateOptions options;
  options.beam = beam;
  options.max_len_b = max_len;
  return options;
}

TEST(BeamSearch, OfOneTakesTheBestTokenEachTime) {
  FakePredictor model(7, tricky);
  const auto found = run(model, {}, options(1));
  ASSERT_EQ(found.size(), 1U);
  // a (0.5), a again (0.3; the smaller id of two equals), ..., and the symbol that the length
  // forces
  EXPECT_EQ(found[0].tokens, (Tokens{kA, kA, kA, kA, kEos}));
  EXPECT_NEAR(found[0].positional_scores[0], std::log(0.5), 1e-6);
  EXPECT_NEAR(found[0].positional_scores[4], std::log(0.2), 1e-6);
  EXPECT_NEAR(found[0].score, std::log(0.5 * 0.3 * 0.3 * 0.3 * 0.2) / 5, 1e-6);
}

TEST(BeamSearch, FindsWhatLooksWorseAtFirst) {
  FakePredictor model(7, tricky);
  const auto found = run(model, {}, options(2));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].tokens, (Tokens{kB, kC, kEos}));
  EXPECT_NEAR(found[0].score, std::log(0.35 * 0.9 * 0.9) / 3, 1e-6);
  EXPECT_GE(found[0].score, found[1].score);
}

TEST(BeamSearch, ScoresThePromptAndCutsIt) {
  FakePredictor model(7, tricky);
  const auto found = run(model, {kB, kC}, options(2, 4));
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].tokens, (Tokens{kB, kC, kEos}));
  EXPECT_NEAR(found[0].positional_scores[0], std::log(0.35 / 1), 1e-6);
  EXPECT_NEAR(found[0].positional_scores[1], std::log(0.9), 1e-6);
  const auto cut = run(model, {kA, kB, kC, kC}, options(3, 2));
  ASSERT_EQ(cut.size(), 1U);
  EXPECT_EQ(cut[0].tokens, (Tokens{kA, kB, kEos}));
  EXPECT_NEAR(cut[0].positional_scores[2], std::log(0.05), 1e-6);
}

TEST(BeamSearch, NormalisesByLength) {
  FakePredictor model(7, tricky);
  GenerateOptions opts = options(2);
  const double short_text = std::log(0.35 * 0.9 * 0.9);  // 3 tokens
  opts.lenpen = 0;
  EXPECT_NEAR(run(model, {}, opts)[0].score, short_text, 1e-6);
  opts.unnormalized = true;
  opts.lenpen = 5;
  EXPECT_NEAR(run(model, {}, opts)[0].score, short_text, 1e-6);
  opts.unnormalized = false;  // such a penalty likes the longer text better
  const Hypothesis best = run(model, {}, opts)[0];
  EXPECT_EQ(best.tokens.size(), 5U);
  double total = 0;
  for (const double score : best.positional_scores) total += score;
  EXPECT_NEAR(best.score, total / std::pow(5, 5), 1e-9);
}

TEST(BeamSearch, KeepsMinAndMaxLength) {
  FakePredictor model(7, tricky);
  GenerateOptions opts = options(2, 6);
  opts.min_len = 5;
  for (const Hypothesis& text : run(model, {kB}, opts)) EXPECT_GE(text.tokens.size(), 6U);
  opts = options(3, 1);
  opts.max_len_a = 1.5;  // 1.5 * (1 + 1) + 1 = 4
  for (const Hypothesis& text : run(model, {kB}, opts)) EXPECT_LE(text.tokens.size(), 5U);
  opts.min_len = 5;
  expect_error<std::invalid_argument>([&] { run(model, {kB}, opts); }, "--min-len");
}

TEST(BeamSearch, NeverGivesPadAndPenalisesUnk) {
  const auto table = [](std::size_t, const Tokens& text) -> std::vector<double> {
    return text.size() < 2 ? std::vector<double>{0, 0.5, 0.01, 0.29, 0.2}
                           : std::vector<double>{0, 0, 0.9, 0.05, 0.05};
  };
  FakePredictor model(5, table);
  EXPECT_EQ(run(model, {}, options(1))[0].tokens, (Tokens{3, 3, kEos}));
  GenerateOptions opts = options(1);
  opts.unkpen = 1;
  EXPECT_EQ(run(model, {}, opts)[0].tokens, (Tokens{4, 4, kEos}));
  EXPECT_NEAR(run(model, {3}, opts)[0].positional_scores[0], std::log(0.29) - 1, 1e-6);
  opts.unkpen = -5;  // a bonus: unk is not among the best without it
  EXPECT_EQ(run(model, {4, 4}, opts)[0].tokens, (Tokens{4, 4, 3, 3, kEos}));
}

TEST(BeamSearch, BlocksNgramsButNotThoseOfThePrompt) {
  const auto table = [](std::size_t, const Tokens&) -> std::vector<double> {
    return {0, 0, 0.01, 0, 0.6, 0.39};
  };
  FakePredictor model(6, table);
  GenerateOptions opts = options(1, 8);
  opts.block_ngrams = 2;
  // The prompt has aa twice. Then no bigram of a and b is left but ab, bb and ba.
  EXPECT_EQ(run(model, {kA, kA, kA}, opts)[0].tokens, (Tokens{kA, kA, kA, kB, kA, kEos}));
  opts.block_ngrams = 1;
  EXPECT_EQ(run(model, {}, opts)[0].tokens, (Tokens{kA, kB, kEos}));
}

TEST(BeamSearch, DividesLogitsByTheTemperature) {
  FakePredictor model(7, tricky);
  GenerateOptions opts = options(1, 2);
  opts.temperature = 0.5;
  const auto found = run(model, {kB}, opts);
  const double sum = 0.1 * 0.1 + 0.5 * 0.5 + 0.35 * 0.35 + 0.05 * 0.05;
  EXPECT_NEAR(found[0].positional_scores[0], std::log(0.35 * 0.35 / sum), 1e-6);
  EXPECT_NEAR(found[0].positional_scores[1], std::log(0.81 / (0.81 + 0.0025 + 0.0025)), 1e-6);
}

TEST(BeamSearch, SaysTheWeightsOfExperts) {
  FakePredictor model(7, tricky, {0.25, 0.75});
  const auto found = run(model, {kB}, options(2));
  for (const Hypothesis& text : found) {
    ASSERT_EQ(text.posterior.size(), text.tokens.size());
    for (const auto& weights : text.posterior)
      EXPECT_EQ(weights, (std::vector<double>{0.25, 0.75}));
  }
}

TEST(Generator, LetsPromptsJoinAndLeave) {
  FakePredictor model(7, tricky);
  Generator generator(model, {}, {.batch = 3});
  const std::vector<Tokens> prompts{{kA, kA}, {kB}, {}, {kC}, {kA, kB, kC}};
  for (const Tokens& prompt : prompts) generator.submit(prompt, options(1, 6));
  std::vector<std::vector<Hypothesis>> together(prompts.size());
  while (generator.busy())
    for (Generated& ended : generator.step()) together[ended.prompt] = ended.hypotheses;
  EXPECT_EQ(model.most_rows, 3U);
  EXPECT_EQ(model.open_rows(), 0U);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto alone = run(model, prompts[i], options(1, 6));
    ASSERT_EQ(together[i].size(), 1U);
    EXPECT_EQ(together[i][0].tokens, alone[0].tokens);
    EXPECT_EQ(together[i][0].positional_scores, alone[0].positional_scores);
  }
}

TEST(Generator, SaysWhichPromptHasNoRoom) {
  FakePredictor model(7, tricky, {1}, 20);
  Generator generator(model, {}, {.batch = 8});
  generator.submit({kA}, options(1, 15));  // 16 tokens
  generator.submit({kA}, options(1, 18));  // 19: waits for the first
  generator.submit({kA}, options(2, 12));  // 2 * 13: never
  std::vector<Generated> all(3);
  while (generator.busy())
    for (Generated& ended : generator.step()) all[ended.prompt] = ended;
  EXPECT_EQ(all[0].hypotheses.size(), 1U);
  EXPECT_EQ(all[1].hypotheses.size(), 1U);
  EXPECT_EQ(model.most_rows, 1U);
  EXPECT_EQ(all[2].error, "needs room for 26 tokens, found room for 20");
}

TEST(Generator, SaysWhereNoTokenMayFollow) {
  FakePredictor model(
      7, [](std::size_t, const Tokens&) -> std::vector<double> { return {0, 0, 1, 0, 0, 0, 0}; });
  Generator generator(model, {}, {.batch = 8});
  GenerateOptions opts = options(2, 15);
  opts.min_len = 3;
  generator.submit({}, opts);
  opts.sampling.emplace();
  generator.submit({}, opts);
  for (const Generated& ended : generator.step()) EXPECT_EQ(ended.error, "no token may follow");
  EXPECT_FALSE(generator.busy());
  EXPECT_EQ(model.open_rows(), 0U);
}

TEST(Generator, RefusesTokensAndOptions) {
  FakePredictor model(7, tricky);
  Generator generator(model, {}, {.batch = 8});
  for (const std::int64_t token : {std::int64_t{-1}, std::int64_t{1}, std::int64_t{7}})
    expect_error<std::invalid_argument>([&] { generator.submit({token}, options(1)); }, "0 to 6");
  GenerateOptions bad = options(0);
  expect_error<std::invalid_argument>([&] { generator.submit({}, bad); }, "--beam");
  bad = options(1);
  bad.temperature = 0;
  expect_error<std::invalid_argument>([&] { generator.submit({}, bad); }, "--temperature");
  bad = options(1);
  bad.temperature = 1e-40;
  expect_error<std::invalid_argument>([&] { generator.submit({}, bad); }, "from 0.000001 on");
  for (const double steep : {static_cast<double>(NAN), -21.0, 1e30}) {
    bad = options(1);
    bad.lenpen = steep;
    expect_error<std::invalid_argument>([&] { generator.submit({}, bad); }, "--lenpen");
  }
  bad = options(INT64_MAX);
  expect_error<std::invalid_argument>([&] { generator.submit({}, bad); }, "1 to 65536");
  EXPECT_FALSE(generator.busy());
}

TEST(Generator, EndsATextWhereTheListenerSaysSo) {
  FakePredictor model(7, tricky);
  Generator generator(model, {}, {.batch = 8});
  Tokens heard;
  generator.submit({kA}, options(1, 6), [&](const Hypothesis& text) {
    heard.push_back(text.tokens.back());
    return heard.size() < 2;
  });
  std::vector<Generated> ended;
  while (generator.busy()) ended = generator.step();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(heard, (Tokens{kA, kA}));
  EXPECT_EQ(ended[0].hypotheses[0].tokens, (Tokens{kA, kA, kA}));
  EXPECT_TRUE(ended[0].hypotheses[0].stopped);
  EXPECT_EQ(model.open_rows(), 0U);
}

}  // namespace
}  // namespace btm
