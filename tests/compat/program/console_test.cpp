#include "compat/program/console.h"

#include <gtest/gtest.h>

#include <ostream>
#include <sstream>

namespace {

std::string printed(const std::vector<std::string>& pieces) {
  std::stringbuf target;
  compat::EscapingBuffer buffer(target);
  std::ostream out(&buffer);
  for (const std::string& piece : pieces) out << piece << std::flush;
  return target.str();
}

TEST(Console, EscapesWhatDrivesATerminal) {
  EXPECT_EQ(printed({"a\x1b[31mb\n"}), "a\\x1b[31mb\n");
  EXPECT_EQ(printed({"a\rb\tc\x7f"}), "a\\x0db\tc\\u007f");
  EXPECT_EQ(printed({"\xc2\x9b"
                     "31m"}),
            "\\u009b31m");  // CSI in one character
  EXPECT_EQ(printed({"\x9b"
                     "31m",
                     "\xff"}),
            "\\x9b31m\\xff");
}

TEST(Console, KeepsTextWhole) {
  EXPECT_EQ(printed({"\xe6\x9d\xb1 'quoted' \\ \n\n"}), "\xe6\x9d\xb1 'quoted' \\ \n\n");
  // A character may come in several pieces.
  EXPECT_EQ(printed({"\xe6", "\x9d", "\xb1"}), "\xe6\x9d\xb1");
  EXPECT_EQ(printed({"\xe6", "\x9d", "\n"}), "\\xe6\\x9d\n");
  EXPECT_EQ(printed({"\xc2", "\x9b"}), "\\u009b");
  EXPECT_EQ(printed({"\xf0\x9f", "\x99\x82!"}), "\xf0\x9f\x99\x82!");
}

TEST(Console, FailsWithItsTarget) {
  struct Full : std::streambuf {
  } full;
  compat::EscapingBuffer buffer(full);
  std::ostream out(&buffer);
  out << "x";
  EXPECT_FALSE(out);
}

}  // namespace
