#include "compat/base/numbers.h"

#include <gtest/gtest.h>

#include <limits>

namespace compat {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Grouped, SeparatesThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(grouped(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Decimal, RoundsAsPrintf) {
  EXPECT_EQ(decimal(0.125, 2), "0.12");
  EXPECT_EQ(decimal(-2.5, 0), "-2");
  EXPECT_EQ(decimal(1e300, 1).size(), 303U);
  EXPECT_EQ(decimal(kInfinity, 4), "inf");
  EXPECT_EQ(decimal(-kInfinity, 4), "-inf");
  EXPECT_EQ(decimal(kNan, 4), "nan");
  EXPECT_EQ(decimal(-kNan, 4), "nan");
  EXPECT_EQ(decimal(-std::numeric_limits<double>::max(), 6).size(), 317U);
}

TEST(General, IsPrintfsAndPythons) {
  EXPECT_EQ(general(4924.69), "4924.69");
  EXPECT_EQ(general(0.00196363636), "0.00196364");
  EXPECT_EQ(general(1e-7), "1e-07");
  EXPECT_EQ(general(512), "512");
  EXPECT_EQ(general(12345678), "1.23457e+07");
  EXPECT_EQ(general(0.1234567, 4), "0.1235");
  EXPECT_EQ(general(-kInfinity), "-inf");
  EXPECT_EQ(general(-kNan), "nan");
}

TEST(Shortest, ReadsBackAsTheSameNumber) {
  EXPECT_EQ(shortest(0.1), "0.1");
  EXPECT_EQ(shortest(1e-7), "1e-07");
  EXPECT_EQ(shortest(3), "3");
  EXPECT_EQ(shortest(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(shortest(-kNan), "nan");
  EXPECT_EQ(shortest(kInfinity), "inf");
}

TEST(Hexadecimal, FillsWithZeros) {
  EXPECT_EQ(hexadecimal(0), "0");
  EXPECT_EQ(hexadecimal(0xA, 2), "0a");
  EXPECT_EQ(hexadecimal(0xABC, 2), "abc");
  EXPECT_EQ(hexadecimal(UINT64_MAX), "ffffffffffffffff");
}

TEST(ZeroFilled, KeepsWhatIsWider) {
  EXPECT_EQ(zero_filled(7, 3), "007");
  EXPECT_EQ(zero_filled(12345, 3), "12345");
}

TEST(RightAligned, KeepsWhatIsWider) {
  EXPECT_EQ(right_aligned("7", 3), "  7");
  EXPECT_EQ(right_aligned("12345", 3), "12345");
}

TEST(NumberOf, TakesTheWholeText) {
  EXPECT_EQ(number_of<std::int64_t>("-42"), -42);
  EXPECT_EQ(number_of<std::uint32_t>("ff", 16), 255U);
  EXPECT_EQ(number_of<double>("1e-3"), 1e-3);
  EXPECT_EQ(number_of<double>("inf"), kInfinity);
  for (const char* const text : {"", " 1", "1 ", "+1", "1x", "x", "0x1", "-", "1.5"})
    EXPECT_FALSE(number_of<std::int64_t>(text)) << text;
  EXPECT_FALSE(number_of<std::int64_t>("9223372036854775808"));
  EXPECT_FALSE(number_of<std::uint32_t>("-1"));
  for (const char* const text : {"", "1e", "1 ", "1e999"})
    EXPECT_FALSE(number_of<double>(text)) << text;
}

}  // namespace
}  // namespace compat
