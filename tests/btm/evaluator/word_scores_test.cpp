#include "btm/evaluator/word_scores.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

/// Ids 4 to 7: "un@@", "do", "it", "re@@".
compat::Dictionary pieces() {
  return compat::Dictionary::parse("un@@ 4\ndo 3\nit 2\nre@@ 1\n", "dict.txt");
}

TEST(WordScores, JoinsPiecesIntoTheLastOne) {
  const compat::Dictionary dictionary = pieces();
  const WordScores words(dictionary, "@@ ");
  const Ids tokens{4, 7, 5, 6};
  std::vector<double> scores{-1, -2, -4, -8};
  EXPECT_EQ(words.join_pieces(tokens, scores), 2);
  EXPECT_EQ(scores, (std::vector<double>{0, 0, -7, -8}));
  EXPECT_EQ(words.words(tokens, scores),
            (std::vector<std::pair<std::string, double>>{{"unredo", -7}, {"it", -8}}));
}

TEST(WordScores, LeavesAPieceThatEndsTheSample) {
  const compat::Dictionary dictionary = pieces();
  const WordScores words(dictionary, "@@ ");
  const Ids tokens{5, 4};
  std::vector<double> scores{-1, -2};
  EXPECT_EQ(words.join_pieces(tokens, scores), 0);
  EXPECT_EQ(scores, (std::vector<double>{-1, -2}));
}

TEST(WordScores, SubwordNmtJoinsNothingAsInFairseq) {
  const compat::Dictionary dictionary = pieces();
  std::vector<double> scores{-1, -2};
  EXPECT_EQ(WordScores(dictionary, "subword_nmt").join_pieces(Ids{4, 5}, scores), 0);
}

TEST(WordScores, GathersStatisticsByFallingCount) {
  const compat::Dictionary dictionary = pieces();
  WordScores words(dictionary, "@@ ");
  const Ids tokens{6, 4, 5, 6};
  std::vector<double> scores{-1, -2, -4, -8};
  words.join_pieces(tokens, scores);
  words.gather(tokens, scores);
  const std::vector<WordStat> stats = words.sorted_stats();
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0].word, "it");
  EXPECT_EQ(stats[0].count, 2);
  EXPECT_EQ(stats[0].log_prob, -9);
  EXPECT_EQ(stats[0].next_word_prob, -6);  // of the first "it"; nothing follows the second
  EXPECT_EQ(stats[0].missing_next_words, 1);
  EXPECT_EQ(stats[1].word, "undo");
  EXPECT_TRUE(stats[1].is_bpe);
  EXPECT_EQ(stats[1].next_word_prob, -8);
}

TEST(WordScores, RefusesOtherPostProcessing) {
  const compat::Dictionary dictionary = pieces();
  btm_test::expect_error<compat::UsageError>([&] { WordScores(dictionary, "letter"); },
                                             "--post-process 'letter' is not supported");
}

}  // namespace
}  // namespace btm
