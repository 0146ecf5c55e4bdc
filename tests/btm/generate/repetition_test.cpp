#include "btm/generate/repetition.h"

#include <gtest/gtest.h>

#include <vector>

namespace btm {
namespace {

using Tokens = std::vector<std::int64_t>;

/// `before` and then `part` so many times.
Tokens repeated(Tokens before, const Tokens& part, int times) {
  for (int i = 0; i < times; ++i) before.insert(before.end(), part.begin(), part.end());
  return before;
}

TEST(Repetition, FindsLoopsOfAllLengths) {
  EXPECT_TRUE(ends_in_loop(repeated({7, 8}, {5}, 12)));
  EXPECT_TRUE(ends_in_loop(repeated({7, 8}, {5, 6, 9, 4}, 3)));
  Tokens longest;
  for (std::int64_t i = 0; i < 32; ++i) longest.push_back(i);
  EXPECT_TRUE(ends_in_loop(repeated({7}, longest, 3)));
  longest.push_back(32);
  EXPECT_FALSE(ends_in_loop(repeated({7}, longest, 3)));
}

TEST(Repetition, LetsOtherTextsBe) {
  EXPECT_FALSE(ends_in_loop(Tokens{}));
  EXPECT_FALSE(ends_in_loop(repeated({}, {5}, 11)));
  EXPECT_FALSE(ends_in_loop(repeated({}, {5, 6, 9, 4}, 2)));
  EXPECT_FALSE(ends_in_loop(repeated(repeated({}, {5, 6, 9, 4}, 3), {1}, 1)));
}

}  // namespace
}  // namespace btm
