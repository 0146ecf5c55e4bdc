#include "btm/generate/prefix_cache.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "btm/generate/generator.h"
#include "tests/btm/generate/fake_predictor.h"

namespace btm {
namespace {

using btm_test::FakePredictor;
using Tokens = FakePredictor::Tokens;

/// Probabilities that depend on all of the text.
std::vector<double> by_text(std::size_t, const Tokens& text) {
  std::vector<double> p(12, 0.01);
  std::uint64_t sum = 1;
  for (const std::int64_t token : text) sum = sum * 7 + static_cast<std::uint64_t>(token);
  for (std::size_t v = 2; v < p.size(); ++v)
    p[v] += static_cast<double>((sum + 3 * v * (sum % 1000)) % 11 + 1);
  return p;
}

Tokens long_prompt(std::int64_t last) {
  Tokens prompt;
  for (std::int64_t i = 0; i < 40; ++i) prompt.push_back(4 + i % 7);
  prompt.push_back(last);
  prompt.push_back(5);
  return prompt;
}

GenerateOptions scored() {
  GenerateOptions options;
  options.min_len = 0;
  options.max_len_b = 44;
  options.top = 2;
  return options;
}

std::vector<Generated> run(Generator& generator) {
  std::vector<Generated> all;
  while (generator.busy())
    for (Generated& ended : generator.step()) all.push_back(std::move(ended));
  std::ranges::sort(all, {}, &Generated::prompt);
  return all;
}

void expect_same(const Hypothesis& a, const Hypothesis& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.positional_scores, b.positional_scores);
  ASSERT_EQ(a.top.size(), b.top.size());
  for (std::size_t i = 0; i < a.top.size(); ++i)
    for (std::size_t k = 0; k < a.top[i].size(); ++k) {
      EXPECT_EQ(a.top[i][k].token, b.top[i][k].token);
      EXPECT_EQ(a.top[i][k].log_prob, b.top[i][k].log_prob);
    }
}

TEST(PrefixCache, GivesWhatReadingAgainGives) {
  FakePredictor plain(12, by_text), model(12, by_text);
  {
    Generator without(plain, {}, {.batch = 8});
    Generator generator(model, {}, {.batch = 8, .prompt_tokens = 16, .prefixes = 4});
    for (const std::int64_t last : {6, 7, 6, 8}) {
      without.submit(long_prompt(last), scored());
      generator.submit(long_prompt(last), scored());
    }
    const auto expected = run(without), found = run(generator);
    ASSERT_EQ(found.size(), 4U);
    for (std::size_t i = 0; i < 4; ++i)
      expect_same(found[i].hypotheses.at(0), expected[i].hypotheses.at(0));
    // The three others wait for the first one, and take over what it has read: of the third, which
    // is the same prompt, all but the last token.
    EXPECT_EQ(generator.counts().reused_tokens, 40 + 42 + 40);
    EXPECT_EQ(without.counts().reused_tokens, 0);
    EXPECT_EQ(generator.counts().prompt_tokens + 122, without.counts().prompt_tokens);
  }
  EXPECT_EQ(model.open_rows(), 0U);
}

TEST(PrefixCache, KeepsThePlacesOfTokensThatWereNotScored) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 8, .prefixes = 4});
  GenerateOptions plain = scored();
  plain.scores_prompt = false;
  plain.top = 0;
  generator.submit({4, 5, 6}, plain);
  run(generator);
  plain.top = 2;
  generator.submit({4, 5, 6}, plain);
  const auto ended = run(generator);
  const Hypothesis& text = ended.at(0).hypotheses.at(0);
  EXPECT_EQ(generator.counts().reused_tokens, 3);
  ASSERT_EQ(text.top.size(), text.tokens.size());
  EXPECT_TRUE(text.top[2].empty());
  EXPECT_EQ(text.top[3][0].token, text.tokens[3]);
}

TEST(PrefixCache, GivesWayToPromptsThatNeedRoom) {
  FakePredictor model(12, by_text, {1}, 400);
  Generator generator(model, {}, {.batch = 1, .prefixes = 100});
  for (std::int64_t last = 2; last < 12; ++last)
    for (std::int64_t first : {4, 5, 6}) {
      Tokens prompt = long_prompt(last);
      prompt.front() = first;
      generator.submit(prompt, scored());
    }
  for (const Generated& ended : run(generator)) EXPECT_EQ(ended.error, "");
}

TEST(PrefixCache, LetsPromptsJoinAtOnceThatItServes) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 8, .prefixes = 4});
  generator.submit(long_prompt(6), scored());
  run(generator);
  for (const std::int64_t last : {7, 8, 9}) generator.submit(long_prompt(last), scored());
  generator.step();
  EXPECT_EQ(generator.joined(), 3U);
}

TEST(PrefixCache, KnowsWhatWasNotReadAlike) {
  const GenerateOptions read = scored();
  GenerateOptions wanted = scored();
  EXPECT_TRUE(reads_alike(read, wanted));
  wanted.top = 1;
  EXPECT_FALSE(reads_alike(read, wanted));  // the last bits of scores may differ
  wanted.top = 3;
  EXPECT_FALSE(reads_alike(read, wanted));
  wanted.top = 0;
  EXPECT_FALSE(reads_alike(read, wanted));
  wanted.scores_prompt = false;
  EXPECT_FALSE(reads_alike(read, wanted));  // those of the experts' weights
  wanted.top = 2;
  EXPECT_FALSE(reads_alike(read, wanted));
  GenerateOptions unscored = wanted;
  unscored.top = 0;
  EXPECT_TRUE(reads_alike(unscored, wanted));
  wanted.expert = 1;
  EXPECT_FALSE(reads_alike(read, wanted));
  wanted = scored();
  wanted.temperature = 0.5;
  EXPECT_FALSE(reads_alike(read, wanted));
  wanted.heats_prompt = false;
  EXPECT_TRUE(reads_alike(read, wanted));
}

TEST(Generator, ReadsAPromptAloneWhereNothingFollows) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 8});
  GenerateOptions options = scored();
  options.continues = false;
  generator.submit({4, 5, 6}, options);
  generator.submit({}, options);
  const auto ended = run(generator);
  ASSERT_EQ(ended.size(), 2U);
  const Hypothesis& text = ended[0].hypotheses.at(0);
  EXPECT_EQ(text.tokens, (Tokens{4, 5, 6}));
  EXPECT_EQ(text.positional_scores.size(), 3U);
  EXPECT_EQ(text.top.size(), 3U);
  EXPECT_TRUE(text.stopped);
  EXPECT_TRUE(ended[1].hypotheses.at(0).tokens.empty());
  EXPECT_EQ(model.open_rows(), 0U);
}

/// 19 rows of 50 tokens are fewer than 1024, but not in blocks of 16.
TEST(Generator, PromisesRoomInBlocks) {
  FakePredictor model(12, by_text, {1}, 1024, 16);
  Generator generator(model, {}, {.batch = 32});
  GenerateOptions options = scored();
  options.max_len_b = 49;
  options.beam = 19;
  options.sampling.emplace();
  generator.submit({5, 6}, options);
  const auto ended = run(generator);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].error, "needs room for 1216 tokens, found room for 1024");
}

TEST(Generator, KeepsWhatEndedInAStepThatFails) {
  FakePredictor model(
      12,
      [](std::size_t, const Tokens&) -> std::vector<double> {
        throw std::runtime_error("damaged");
      },
      {1}, 200);
  Generator generator(model, {}, {.batch = 8});
  GenerateOptions large = scored();
  large.max_len_b = 400;
  generator.submit({4}, large);
  generator.submit({6}, scored());
  EXPECT_THROW(generator.step(), std::runtime_error);
  EXPECT_EQ(generator.drop_joined(), std::vector<std::size_t>{1});
  EXPECT_TRUE(generator.busy());
  const auto ended = run(generator);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].prompt, 0U);
  EXPECT_NE(ended[0].error.find("needs room"), std::string::npos);
}

TEST(Generator, KeepsATextThatEndedBesideOneThatFails) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 8});
  GenerateOptions one = scored();
  one.beam = 1;
  one.max_len_b = 2;
  generator.submit({4}, one, [](const Hypothesis&) { return false; });
  generator.submit({6}, one,
                   [](const Hypothesis&) -> bool { throw std::runtime_error("no memory"); });
  generator.step();
  EXPECT_THROW(generator.step(), std::runtime_error);
  EXPECT_EQ(generator.drop_joined(), std::vector<std::size_t>{1});
  const auto ended = run(generator);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].hypotheses.at(0).tokens.size(), 2U);
  EXPECT_EQ(model.open_rows(), 0U);
}

TEST(Generator, GivesUpWhatIsCancelled) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 1});
  const std::size_t first = generator.submit({4}, scored());
  const std::size_t second = generator.submit({5}, scored());
  generator.submit({6}, scored());
  generator.step();
  EXPECT_EQ(generator.waiting(), 2U);
  generator.cancel(first);
  generator.cancel(second);
  generator.cancel(77);
  const auto ended = run(generator);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].prompt, 2U);
  EXPECT_EQ(model.open_rows(), 0U);
}

TEST(Generator, ReadsPromptsInPortions) {
  FakePredictor model(12, by_text);
  Generator generator(model, {}, {.batch = 2, .prompt_tokens = 10});
  generator.submit(long_prompt(6), scored());
  generator.submit({4}, scored());
  generator.step();
  EXPECT_EQ(generator.counts().prompt_tokens, 10);
  const auto ended = run(generator);
  EXPECT_EQ(ended.size(), 2U);
  EXPECT_EQ(generator.counts().prompt_tokens, 42 + 1);
}

}  // namespace
}  // namespace btm
