#include "compat/base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace compat {
namespace {

TEST(Location, PrintsWhatItKnows) {
  EXPECT_EQ(to_string({"a.pt", "data.pkl", 0x1267}), "a.pt[data.pkl]+0x1267");
  EXPECT_EQ(to_string({"a.pt", {}, 0}), "a.pt+0x0");
  EXPECT_EQ(to_string({"a.pt", "cfg", {}}), "a.pt[cfg]");
  EXPECT_EQ(to_string({"a.pt", {}, {}}), "a.pt");
}

TEST(Location, EscapesWhatAnArchiveCallsItsEntries) {
  EXPECT_EQ(to_string({"a", "\x1b[2J\n", {}}), "a[\\x1b[2J\\x0a]");
}

TEST(FormatError, IsPlaceAndProblem) {
  const FormatError error({"a.pt", {}, 16}, "bad");
  EXPECT_STREQ(error.what(), "a.pt+0x10: bad");
  EXPECT_EQ(error.where().offset, 16U);
}

TEST(FormatError, IsOneLineWhateverTheFileHeld) {
  EXPECT_STREQ(FormatError({"a", {}, {}}, "'b\n\x1b[2J' is \xff, not '\\' or é").what(),
               "a: 'b\\x0a\\x1b[2J' is \\xff, not '\\' or é");
  EXPECT_STREQ(IoError("a", "is\r\na folder").what(), "a: is\\x0d\\x0aa folder");
}

TEST(IoError, NamesPathActionAndReason) {
  EXPECT_STREQ(IoError("a\nb", "cannot open", ENOENT).what(),
               "a\\x0ab: cannot open: No such file or directory");
  EXPECT_STREQ(IoError("a", "is a directory").what(), "a: is a directory");
}

TEST(Printable, EscapesControlsQuotesAndBackslashes) {
  EXPECT_EQ(printable("a\tb\x7f'\\"), "a\\x09b\\x7f\\'\\\\");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

TEST(Printable, KeepsUtf8AndEscapesWhatIsNot) {
  EXPECT_EQ(printable("é€\U0001f600"), "é€\U0001f600");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI, a C1 control
}

TEST(Printable, CutsLongText) {
  EXPECT_EQ(printable(std::string(100, 'x'), 10), std::string(10, 'x') + "...");
}

TEST(FirstInvalidUtf8, FindsOverlongFormsAndSurrogates) {
  EXPECT_EQ(first_invalid_utf8("aé\U0001f600"), std::string_view::npos);
  for (const std::string_view bad :
       {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80"})
    EXPECT_EQ(first_invalid_utf8("ab" + std::string(bad)), 2U) << printable(bad);
}

}  // namespace
}  // namespace compat
