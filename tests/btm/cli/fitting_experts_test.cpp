#include "btm/cli/fitting_experts.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

TEST(ParseMemory, TakesPowersOf1024) {
  EXPECT_EQ(parse_memory("100"), 100);
  EXPECT_EQ(parse_memory("4K"), 4096);
  EXPECT_EQ(parse_memory("1.5G"), 3LL << 29);
  EXPECT_EQ(parse_memory("8GiB"), 8LL << 30);
  EXPECT_EQ(parse_memory("2TB"), 2LL << 40);
}

TEST(ParseMemory, RefusesOtherText) {
  for (const char* bad : {"", "G", "8 G", "-1G", "8Q", "8GG", "1e3", "0", "nan", "99999999999999T"})
    btm_test::expect_error<compat::UsageError>([&] { parse_memory(bad); }, "such as 8G");
}

}  // namespace
}  // namespace btm
