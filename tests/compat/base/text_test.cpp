#include "compat/base/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace compat {
namespace {

using Words = std::vector<std::string_view>;

Words lines_of(std::string_view text) {
  Words lines;
  for_each_line(text, [&](std::string_view line) { lines.push_back(line); });
  return lines;
}

TEST(SplitWhitespace, SplitsAsPython) {
  EXPECT_EQ(split_whitespace("  a\tb \x1c c\n"), (Words{"a", "b", "c"}));
  EXPECT_EQ(split_whitespace("a\u00a0b\u2003c\u3000d\u0085e"), (Words{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(split_whitespace("a\u200bb"),
            (Words{"a\u200bb"}));  // Python does not count a zero width space
  EXPECT_TRUE(split_whitespace(" \u2009 ").empty());
  EXPECT_TRUE(split_whitespace("").empty());
}

TEST(StripRight, StripsUnicodeSpaces) {
  EXPECT_EQ(strip_right(" a b \u3000\u00a0\n"), " a b");
  EXPECT_EQ(strip_right("\u2028 "), "");
}

TEST(ForEachLine, EndsLinesAsTextMode) {
  EXPECT_EQ(lines_of("a\nb\r\nc\rd"), (Words{"a", "b", "c", "d"}));
  EXPECT_EQ(lines_of("a\n\n"), (Words{"a", ""}));
  EXPECT_EQ(lines_of("a\u2028b\x0b"),
            (Words{"a\u2028b\x0b"}));  // str.splitlines splits here, files do not
  EXPECT_TRUE(lines_of("").empty());
}

TEST(AppendUtf8, EncodesEveryLength) {
  std::string out;
  for (const std::uint32_t code : {0x41U, 0xE9U, 0x20ACU, 0x1F600U}) append_utf8(code, out);
  EXPECT_EQ(out, "Aé€\U0001f600");
}

}  // namespace
}  // namespace compat
