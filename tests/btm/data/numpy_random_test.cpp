// Expected numbers printed by numpy 1.23.5.
#include "btm/data/numpy_random.h"

#include <gtest/gtest.h>

#include <array>

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

TEST(NumpyRandom, PermutesAsNumpyDoes) {
  EXPECT_EQ(NumpyRandom(7).permutation(10), (Ids{8, 5, 0, 2, 1, 9, 7, 3, 6, 4}));
  const Ids long_one = NumpyRandom(3).permutation(1000);
  EXPECT_EQ(Ids(long_one.begin(), long_one.begin() + 6), (Ids{642, 762, 909, 199, 586, 797}));
}

TEST(NumpyRandom, ChoosesFromAListOfSeedsAsNumpyDoes) {
  const std::array<std::int64_t, 3> seeds{42, 1, 1};
  EXPECT_EQ(NumpyRandom(seeds).choice(10, 10), (Ids{3, 4, 1, 6, 2, 9, 8, 1, 4, 3}));
}

TEST(NumpyRandom, DrawsNothingForASingleChoice) {
  NumpyRandom random(1);
  EXPECT_EQ(random.interval(0), 0U);
  EXPECT_EQ(random.permutation(3), NumpyRandom(1).permutation(3));
}

TEST(NumpyRandom, HandlesEmptyRequests) {
  EXPECT_TRUE(NumpyRandom(1).permutation(0).empty());
  EXPECT_TRUE(NumpyRandom(1).choice(5, 0).empty());
}

}  // namespace
}  // namespace btm
