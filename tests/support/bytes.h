// "80 02 4e 2e"_bytes: bytes that a test writes in hexadecimal.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace btm_test {

/// Pairs of hexadecimal digits. White space is skipped.
inline std::string operator""_bytes(const char* text, std::size_t size) {
  std::string out;
  int high = -1;
  for (const char c : std::string_view(text, size)) {
    if (c == ' ' || c == '\n') continue;
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos)
      throw std::logic_error("not a hexadecimal digit in _bytes");
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      out += static_cast<char>(high * 16 + static_cast<int>(digit));
      high = -1;
    }
  }
  return out;
}

/// The little-endian bytes of a number.
template <class T>
std::string le(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

}  // namespace btm_test
