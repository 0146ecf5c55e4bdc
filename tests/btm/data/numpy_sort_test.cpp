// Expected orders printed by numpy 1.23.5's argsort.
#include "btm/data/numpy_sort.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "btm/data/numpy_random.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

TEST(NumpyArgsort, IsUnstableAsNumpys) {
  const Ids values{3, 0, 1, 0, 4, 3, 0, 0, 4, 1, 0, 3, 4, 3, 1, 4, 2, 1, 1, 2,
                   1, 1, 1, 2, 0, 2, 0, 0, 4, 4, 1, 3, 3, 2, 4, 1, 3, 3, 2, 1};
  EXPECT_EQ(numpy_argsort(values),
            (Ids{10, 1,  3,  6,  7,  24, 26, 27, 22, 18, 17, 14, 39, 9, 30, 35, 2,  20, 21, 25,
                 23, 33, 19, 16, 38, 37, 36, 5,  32, 31, 11, 13, 0,  8, 28, 12, 34, 4,  15, 29}));
}

TEST(NumpyArgsort, SortsWhateverTheOrder) {
  for (const std::int64_t n : {0, 1, 2, 15, 16, 17, 1000, 20000}) {
    Ids rising(static_cast<std::size_t>(n)), organ_pipe = rising,
                                             random = NumpyRandom(n).permutation(n);
    for (std::int64_t i = 0; i < n; ++i) {
      rising[static_cast<std::size_t>(i)] = i;
      organ_pipe[static_cast<std::size_t>(i)] = std::min(i, n - i);
    }
    for (const Ids& values : {rising, Ids(rising.rbegin(), rising.rend()), organ_pipe, random,
                              Ids(static_cast<std::size_t>(n), 5)}) {
      const Ids order = numpy_argsort(values);
      Ids seen = order;
      std::ranges::sort(seen);
      EXPECT_EQ(seen, rising) << n;
      EXPECT_TRUE(std::ranges::is_sorted(order, {}, [&](std::int64_t i) {
        return values[static_cast<std::size_t>(i)];
      })) << n;
    }
  }
}

}  // namespace
}  // namespace btm
