#include "compat/base/concat.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace compat {
namespace {

TEST(Concat, TakesCharactersAndIntegers) {
  const std::string name = "law";
  EXPECT_EQ(concat(name, '/', std::string_view("train"), " has ", 3, " of ", std::size_t{4}),
            "law/train has 3 of 4");
  EXPECT_EQ(concat(), "");
  EXPECT_EQ(concat(INT64_MIN, ' ', UINT64_MAX), "-9223372036854775808 18446744073709551615");
  EXPECT_EQ(concat(std::int8_t{-1}, std::uint8_t{255}), "-1255");
  EXPECT_EQ(concat(name + "s", 'x'), "lawsx");
}

TEST(Append, KeepsWhatIsThere) {
  std::string text = "rank ";
  append(text, 1, " of ", 2);
  EXPECT_EQ(text, "rank 1 of 2");
}

TEST(AppendItem, SeparatesAllButTheFirst) {
  std::string list;
  append_item(list, "a");
  append_item(list, "b");
  append_item(list, "c", "; ");
  EXPECT_EQ(list, "a, b; c");
}

TEST(Join, JoinsTextsAndIntegers) {
  EXPECT_EQ(join(std::vector<std::string>{"a", "", "c"}, ","), "a,,c");
  EXPECT_EQ(join(std::vector<std::int64_t>{2, -3}, ", "), "2, -3");
  EXPECT_EQ(join(std::vector<int>{}, ", "), "");
  EXPECT_EQ(join(std::vector<int>{1, 2}, " ", [](int value) { return 2 * value; }), "2 4");
}

}  // namespace
}  // namespace compat
