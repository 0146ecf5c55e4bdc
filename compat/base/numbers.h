// Numbers as text, and text as numbers.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace compat {

/// "1,234,567".
std::string grouped(std::int64_t value);

/// `value` with `digits` after the point; "inf" and "nan" for what has none.
std::string decimal(double value, int digits);

/// At most `digits` significant digits, with an exponent where that is shorter: C's %g.
std::string general(double value, int digits = 6);

/// The shortest text that reads back as the same number: "0.1".
std::string shortest(double value);

/// Small hexadecimal digits, filled with zeros to `width`.
std::string hexadecimal(std::uint64_t value, std::size_t width = 0);

/// Filled with zeros to `width`: "007".
std::string zero_filled(std::int64_t value, std::size_t width);

/// `text` with spaces before it, `width` characters long or longer.
std::string right_aligned(std::string text, std::size_t width);

/// The whole of `text` as a number of C's form without white space or a plus sign; nothing where
/// it is none, or out of range. "inf" and "nan" are numbers.
template <class T>
std::optional<T> number_of(std::string_view text, int base = 10) {
  T number{};
  const char* const last = text.data() + text.size();
  std::from_chars_result result{};
  if constexpr (std::is_floating_point_v<T>)
    result = std::from_chars(text.data(), last, number);
  else
    result = std::from_chars(text.data(), last, number, base);
  if (result.ec != std::errc{} || result.ptr != last) return std::nullopt;
  return number;
}

}  // namespace compat
