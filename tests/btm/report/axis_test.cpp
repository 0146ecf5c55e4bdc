#include "btm/report/axis.h"

#include <gtest/gtest.h>

#include <cmath>

namespace btm {
namespace {

TEST(Axis, PutsRoundValuesInsideTheRange) {
  EXPECT_EQ(Axis(0, 103, 0, 1).ticks(6), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  EXPECT_EQ(Axis(-1, 1, 0, 1).ticks(4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
}

TEST(Axis, RoundsItsEndsOutwards) {
  const Axis axis = Axis(3, 103, 0, 1).rounded(6);
  EXPECT_EQ(axis.low(), 0);
  EXPECT_EQ(axis.high(), 120);
}

TEST(Axis, MapsValuesLinearly) {
  const Axis axis(10, 20, 100, 0);
  EXPECT_DOUBLE_EQ(axis.pixel(10), 100);
  EXPECT_DOUBLE_EQ(axis.pixel(12.5), 75);
  EXPECT_DOUBLE_EQ(axis.pixel(20), 0);
}

TEST(Axis, MapsValuesByTheLogarithm) {
  const Axis axis(1, 1000, 0, 300, true);
  EXPECT_NEAR(axis.pixel(10), 100, 1e-9);
  EXPECT_NEAR(axis.pixel(100), 200, 1e-9);
}

TEST(Axis, MarksDecadesWhenThereAreEnough) {
  EXPECT_EQ(Axis(1, 1000, 0, 1, true).ticks(5), (std::vector<double>{1, 10, 100, 1000}));
}

TEST(Axis, MarksValuesWithinADecade) {
  EXPECT_EQ(Axis(9, 60, 0, 1, true).ticks(5), (std::vector<double>{10, 20, 50}));
  const std::vector<double> narrow = Axis(41, 59, 0, 1, true).ticks(5);
  EXPECT_GE(narrow.size(), 3u);
  for (const double mark : narrow) EXPECT_TRUE(mark >= 41 && mark <= 59) << mark;
}

/// Found on 30 November 2026: ticks() never ended where rounding alone parts low and high.
TEST(Axis, WidensARangeOfRounding) {
  for (const double low : {1.0, -1.0, 3.3, 1e300, 1e-300}) {
    double high = low;
    for (int ulps = 1; ulps <= 4; ++ulps) {
      high = std::nextafter(high, HUGE_VAL);
      for (const bool log : {false, true}) {
        if (log && low < 0) continue;
        const Axis axis(low, high, 0, 100, log);
        const std::vector<double> marks = axis.ticks(5);
        EXPECT_GE(marks.size(), 2U) << low << " " << ulps;
        EXPECT_LE(marks.size(), 12U) << low << " " << ulps;
        EXPECT_GE(axis.rounded(5).high(), high);
        EXPECT_LE(axis.rounded(5).low(), low);
      }
    }
  }
  EXPECT_EQ(Axis(1, 1.000001, 0, 1).ticks(2).size(), 3U);  // narrow, and meant
}

TEST(Axis, KeepsAnEmptyRangeDrawable) {
  for (const bool log : {false, true}) {
    const Axis axis(7, 7, 0, 100, log);
    EXPECT_TRUE(std::isfinite(axis.pixel(7)));
    EXPECT_GT(axis.pixel(7), 0);
    EXPECT_LT(axis.pixel(7), 100);
  }
  EXPECT_TRUE(std::isfinite(Axis(0, 0, 0, 100).pixel(0)));
}

}  // namespace
}  // namespace btm
