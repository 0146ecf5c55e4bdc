#include "compat/base/error.h"

#include <cstring>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

std::string escaped_byte(char c) { return "\\x" + hexadecimal(static_cast<unsigned char>(c), 2); }

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t count) {
    if (text.size() <= count) return false;
    for (std::size_t i = 1; i <= count; ++i)
      if ((byte(i) & 0xC0) != 0x80) return false;
    return true;
  };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

std::size_t first_invalid_utf8(std::string_view text) noexcept {
  std::size_t i = 0;
  while (i < text.size()) {
    std::uint64_t eight = 0;
    while (text.size() - i >= sizeof eight) {  // ASCII, eight bytes at a time
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & 0x8080808080808080) != 0) break;
      i += sizeof eight;
    }
    if (i == text.size()) break;
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

namespace {

std::string escaped(std::string_view text, std::size_t limit, bool quotes) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (out.size() >= limit) return out + "...";
    const std::size_t length = utf8_length(text.substr(i));
    const auto c = static_cast<unsigned char>(text[i]);
    // C1 controls (U+0080 to U+009F) can control a terminal, as ESC does.
    const bool c1 = length == 2 && c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (length == 0 || c < 0x20 || c == 0x7F || c1) {
      const std::size_t bytes = c1 ? 2 : 1;
      for (std::size_t b = 0; b < bytes; ++b) out += escaped_byte(text[i + b]);
      i += bytes;
      continue;
    }
    if (quotes && (c == '\\' || c == '\'')) out += '\\';
    out += text.substr(i, length);
    i += length;
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  return escaped(text, limit, /*quotes=*/true);
}

std::string without_controls(std::string_view text) {
  return escaped(text, std::string_view::npos, /*quotes=*/false);
}

std::string to_string(const Location& where) {
  std::string text = printable(where.file, 4096);
  if (!where.entry.empty()) text += "[" + printable(where.entry) + "]";
  if (where.offset) text += "+0x" + hexadecimal(*where.offset);
  return text;
}

FormatError::FormatError(Location where, std::string_view problem)
    : std::runtime_error(concat(to_string(where), ": ", without_controls(problem))),
      where_(std::move(where)) {}

IoError::IoError(std::string_view path, std::string_view action, int error_number)
    : std::runtime_error(
          concat(printable(path, 4096), ": ", action, ": ", std::strerror(error_number))) {}

IoError::IoError(std::string_view path, std::string_view problem)
    : std::runtime_error(concat(printable(path, 4096), ": ", without_controls(problem))) {}

}  // namespace compat
