#include "btm/model/vocabulary_bands.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

TEST(VocabularyBands, CutsWhereFairseqCutsAndNarrowsAsPythonRounds) {
  const auto bands = vocabulary_bands({20000, 60000}, 267744, 1024, 4);
  ASSERT_EQ(bands.size(), 3U);
  EXPECT_EQ(bands[1].first, 20000);
  EXPECT_EQ(bands[2].end, 267744);
  EXPECT_EQ(bands[2].size(), 207744);
  EXPECT_EQ(bands[2].width, 64);
  EXPECT_EQ(vocabulary_bands({5, 9}, 9, 8, 2).size(), 2U) << "a cutoff may end the vocabulary";
  // int(32 // 1.5 ** i) and int(1000 // 1.1 ** i) in Python
  const std::vector<std::int64_t> by_half{32, 21, 14, 9}, by_tenth{1000, 909, 826, 751};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(band_width(32, 1.5, i), by_half[i]);
    EXPECT_EQ(band_width(1000, 1.1, i), by_tenth[i]);
  }
}

TEST(VocabularyBands, RefusesACutoffBeyondTheVocabulary) {
  btm_test::expect_error<compat::UnsupportedError>(
      [] {
        vocabulary_bands({100, 2000}, 1999, 8, 4);
      },
      "the last cutoff 2000 is beyond the vocabulary of 1999 symbols");
}

}  // namespace
}  // namespace btm
