#include "compat/base/natural_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace compat {
namespace {

TEST(NaturalOrder, CountsNumbersAsNumbers) {
  const std::vector<std::string> right{"",
                                       "007x",
                                       "7x",
                                       "C",
                                       "a",
                                       "a1b2",
                                       "a1b10",
                                       "a2",
                                       "c0",
                                       "c1",
                                       "c2",
                                       "c9",
                                       "c010",
                                       "c10",
                                       "c10a",
                                       "c11",
                                       "c99999999999999999999998",
                                       "c99999999999999999999999",
                                       "c_1",
                                       "d",
                                       "\xC3\xA4"};
  std::vector<std::string> names = right;
  std::ranges::reverse(names);
  std::ranges::sort(names, natural_less);
  EXPECT_EQ(names, right);
}

TEST(NaturalOrder, IsStrict) {
  for (const char* const name : {"", "c", "c1", "c01"})
    EXPECT_FALSE(natural_less(name, name)) << name;
  EXPECT_TRUE(natural_less("c01", "c1"));
  EXPECT_FALSE(natural_less("c1", "c01"));
  EXPECT_TRUE(natural_less("c01a", "c1b"));
}

}  // namespace
}  // namespace compat
