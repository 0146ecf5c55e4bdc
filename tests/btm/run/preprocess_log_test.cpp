#include "btm/run/preprocess_log.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(PreprocessLog, HasTheSetsWithTheirShareOfUnknownTokens) {
  const auto sets = parse_preprocess_log(
      "$ btm-convert preprocess --domains law\n"
      "law/train: 137 sequences, 9533 tokens; 0.0315% replaced by <unk>; 2 empty documents "
      "dropped; "
      "1.6 MB/s\n"
      "law/valid_law: warning: one document is 54.3% of its text\n"
      "law/valid_law: 12 sequences, 668 tokens; 0% replaced by <unk>; 1.8 MB/s\n"
      "x/y: many sequences, 1 tokens; 0% replaced by <unk>\n: 1 sequences, 1 tokens; \n");
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].name, "train");
  EXPECT_EQ(sets[0].documents, 137);
  EXPECT_EQ(sets[0].tokens, 9533);
  EXPECT_EQ(sets[0].unknown, "0.0315%");
  EXPECT_EQ(sets[0].left_out, "2 empty documents");
  EXPECT_EQ(sets[1].name, "valid");
  EXPECT_EQ(sets[1].left_out, "");
  EXPECT_TRUE(read_preprocess_log("none").empty());
}

TEST(PreprocessLog, HasTheSetsThatAreHeldOutOfAText) {
  const auto sets = parse_preprocess_log(
      "train: 364 sequences, 100639 tokens; valid: 22 sequences, 5568 tokens; test: 42 sequences, "
      "4986 tokens; 0.517% replaced by <unk>; 3 empty documents dropped; 5.2 MB/s\n");
  ASSERT_EQ(sets.size(), 3u);
  EXPECT_EQ(sets[0].unknown, "0.517%");
  EXPECT_EQ(sets[0].left_out, "3 empty documents");
  EXPECT_EQ(sets[1].name, "valid");
  EXPECT_EQ(sets[1].documents, 22);
  EXPECT_EQ(sets[1].unknown + sets[1].left_out, "");
  EXPECT_EQ(sets[2].name, "test");
  EXPECT_EQ(sets[2].tokens, 4986);
}

TEST(PreprocessLog, SkipsWhatIsNoLineOfSets) {
  for (const char* line : {"% replaced by <unk>", "; 1% replaced by <unk>",
                           "a: 1 sequences, 2 tokens 1% replaced "
                           "by <unk>",
                           "a: 1 sequences, 2 tokens; b; 1% replaced by <unk>",
                           "a: 1 sequences, 99999999999999999999 tokens; 1% replaced by <unk>",
                           ": 1 sequences, 2 tokens; 1% replaced by <unk>"})
    EXPECT_TRUE(parse_preprocess_log(line).empty()) << line;
}

}  // namespace
}  // namespace btm
