#include "compat/base/text.h"

#include <algorithm>
#include <array>

namespace compat {
namespace {

// The characters beyond ASCII for which str.isspace() is true, as UTF-8.
constexpr std::array<std::string_view, 19> kWideSpaces{
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

bool is_ascii_space(char c) noexcept {
  return text_detail::kByteKind[static_cast<unsigned char>(c)] == text_detail::kSpace;
}

}  // namespace

std::size_t text_detail::wide_space_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned second = byte(1), third = byte(2);
  switch (byte(0)) {
    case 0xC2:
      return second == 0x85 || second == 0xA0 ? 2 : 0;
    case 0xE1:
      return second == 0x9A && third == 0x80 ? 3 : 0;
    case 0xE2:
      if (second == 0x80)
        return (third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF
                   ? 3
                   : 0;
      return second == 0x81 && third == 0x9F ? 3 : 0;
    case 0xE3:
      return second == 0x80 && third == 0x80 ? 3 : 0;
    default:
      return 0;
  }
}

std::vector<std::string_view> split_whitespace(std::string_view text) {
  std::vector<std::string_view> words;
  for_each_word(text, [&](std::string_view word) { words.push_back(word); });
  return words;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    if (is_ascii_space(text.back())) {
      text.remove_suffix(1);
      continue;
    }
    const auto found = std::ranges::find_if(
        kWideSpaces, [&](std::string_view space) { return text.ends_with(space); });
    if (found == kWideSpaces.end()) break;
    text.remove_suffix(found->size());
  }
  return text;
}

std::string_view strip(std::string_view text) {
  text = strip_right(text);
  while (!text.empty()) {
    const std::size_t space =
        is_ascii_space(text.front()) ? 1 : text_detail::wide_space_length(text);
    if (space == 0) break;
    text.remove_prefix(space);
  }
  return text;
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto follow = [&](unsigned shift) {
    out += static_cast<char>(0x80 | ((code >> shift) & 0x3F));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    follow(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    follow(6);
    follow(0);
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    follow(12);
    follow(6);
    follow(0);
  }
}

void for_each_line(std::string_view text, const std::function<void(std::string_view line)>& line) {
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    end = std::min(end, text.substr(0, end).find('\r'));
    line(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

std::vector<std::string> split_at(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t end = std::min(text.find(separator, from), text.size());
    if (end > from) parts.emplace_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

}  // namespace compat
