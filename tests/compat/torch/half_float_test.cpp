#include "compat/torch/half_float.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The value of a half by definition: sign, 5 bits of exponent, 10 bits of mantissa.
float value_of(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const float magnitude = exponent == 31 ? (mantissa == 0 ? kInfinity : NAN)
                          : exponent == 0
                              ? std::ldexp(static_cast<float>(mantissa), -24)
                              : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(HalfFloat, ReadsEveryHalf) {
  for (unsigned half = 0; half < 65536; ++half) {
    const float value = compat::float_of_half(static_cast<std::uint16_t>(half)),
                expected = value_of(static_cast<std::uint16_t>(half));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << half;
      continue;
    }
    ASSERT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(expected)) << half;
    ASSERT_EQ(compat::half_of_float(value), half);
  }
}

TEST(HalfFloat, RoundsToTheNearestAndTiesToEven) {
  for (unsigned half = 0; half < 0x7BFF; ++half) {
    const float low = value_of(static_cast<std::uint16_t>(half)),
                high = value_of(static_cast<std::uint16_t>(half + 1));
    const float middle = (low + high) / 2;  // exact in a float
    EXPECT_EQ(compat::half_of_float(middle), half % 2 == 0 ? half : half + 1);
    EXPECT_EQ(compat::half_of_float(std::nextafter(middle, 0.0f)), half);
    EXPECT_EQ(compat::half_of_float(-std::nextafter(middle, kInfinity)), 0x8000 | (half + 1));
  }
}

TEST(HalfFloat, OverflowsToInfinityFrom65520) {
  EXPECT_EQ(compat::half_of_float(65519.996f), 0x7BFF);
  EXPECT_EQ(compat::half_of_float(65520.0f), 0x7C00);
  EXPECT_EQ(compat::half_of_float(-kInfinity), 0xFC00);
  EXPECT_TRUE(std::isnan(compat::float_of_half(compat::half_of_float(NAN))));
}

TEST(BFloat16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(compat::bfloat16_of_float(1.0f), 0x3F80);
  EXPECT_EQ(compat::bfloat16_of_float(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(compat::bfloat16_of_float(std::bit_cast<float>(0x3F808001u)), 0x3F81);
  EXPECT_EQ(compat::bfloat16_of_float(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(compat::bfloat16_of_float(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(
      compat::float_of_bfloat16(compat::bfloat16_of_float(std::bit_cast<float>(0x7F800001u)))));
  EXPECT_EQ(compat::float_of_bfloat16(0xC040), -3.0f);
}

}  // namespace
