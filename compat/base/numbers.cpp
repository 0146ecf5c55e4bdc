#include "compat/base/numbers.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace compat {
namespace {

/// Room for the digits before the point of any double.
constexpr std::size_t kMostDigits = std::numeric_limits<double>::max_exponent10 + 2;

std::string as_text(double value, std::chars_format format, int digits) {
  if (std::isnan(value)) return "nan";  // whatever its sign
  std::string text(kMostDigits + static_cast<std::size_t>(digits) + 1, '\0');
  char* const end =
      std::to_chars(text.data(), text.data() + text.size(), value, format, digits).ptr;
  text.resize(static_cast<std::size_t>(end - text.data()));
  return text;
}

std::string filled(std::string text, std::size_t width, char fill) {
  if (text.size() < width) text.insert(0, width - text.size(), fill);
  return text;
}

}  // namespace

std::string shortest(double value) {
  if (std::isnan(value)) return "nan";  // whatever its sign
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t sign = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string decimal(double value, int digits) {
  return as_text(value, std::chars_format::fixed, digits);
}

std::string general(double value, int digits) {
  return as_text(value, std::chars_format::general, digits);
}

std::string hexadecimal(std::uint64_t value, std::size_t width) {
  std::array<char, 16> digits{};
  char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return filled(std::string(digits.data(), end), width, '0');
}

std::string zero_filled(std::int64_t value, std::size_t width) {
  return filled(std::to_string(value), width, '0');
}

std::string right_aligned(std::string text, std::size_t width) {
  return filled(std::move(text), width, ' ');
}

}  // namespace compat
