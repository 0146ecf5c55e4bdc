#include "btm/cli/text_format.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(TextFormat, FollowsTheNameOrElseTheTerminal) {
  EXPECT_EQ(text_format_of("table", false), TextFormat::kTable);
  EXPECT_EQ(text_format_of("tsv", true), TextFormat::kTsv);
  EXPECT_EQ(text_format_of("json", true), TextFormat::kJson);
  EXPECT_EQ(text_format_of("jsonl", true), TextFormat::kJsonl);
  EXPECT_EQ(text_format_of("", true), TextFormat::kTable);
  EXPECT_EQ(text_format_of("", false), TextFormat::kTsv);
}

}  // namespace
}  // namespace btm
