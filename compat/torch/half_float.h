// Conversions between float and the bits of IEEE half precision and bfloat16. They have no
// branches, so that loops over them vectorise.
#pragma once

#include <bit>
#include <cstdint>

namespace compat {

inline float float_of_half(std::uint16_t half) noexcept {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16, magnitude = half & 0x7FFFu;
  constexpr std::uint32_t kRebias = 112u << 23;  // from the exponent's bias of 15 to that of 127
  const std::uint32_t normal = (magnitude << 13) + kRebias;
  const std::uint32_t special = normal + kRebias;  // infinity, NaN: the highest exponent
  const auto subnormal = std::bit_cast<std::uint32_t>(
      static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
  return std::bit_cast<float>(sign | (magnitude >= 0x7C00u   ? special
                                      : magnitude >= 0x0400u ? normal
                                                             : subnormal));
}

/// Rounds to nearest, ties to even. Values that round beyond 65504 become infinite. NaN stays NaN,
/// but loses its payload.
inline std::uint16_t half_of_float(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  const std::uint32_t normal =
      (magnitude - (112u << 23) + 0x0FFFu + ((magnitude >> 13) & 1u)) >> 13;
  // After 0.5 is added, floats have steps of 2^-24, the smallest half. The last bits of the sum are
  // the rounded subnormal half.
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  const std::uint32_t finite =
      magnitude < 0x38800000u ? subnormal : normal;  // 2^-14: the smallest normal half
  const std::uint32_t large = magnitude > 0x7F800000u ? 0x7E00u : 0x7C00u;
  return static_cast<std::uint16_t>(
      sign | (magnitude >= 0x477FF000u ? large : finite));  // 65520 rounds to infinity
}

inline float float_of_bfloat16(std::uint16_t value) noexcept {
  return std::bit_cast<float>(std::uint32_t{value} << 16);
}

/// Rounds to nearest, ties to even.
inline std::uint16_t bfloat16_of_float(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded);
}

}  // namespace compat
