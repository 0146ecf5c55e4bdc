// How many characters a text has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace compat {

/// len(text) of UTF-8: the bytes that begin a code point. Bytes that continue none count for
/// nothing.
inline std::int64_t code_points(std::string_view text) {
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace compat
