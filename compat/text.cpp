#include "compat/text.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace compat {
namespace {

// str.isspace() beyond ASCII, as UTF-8.
constexpr std::array<std::string_view, 19> kWideSpaces{
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
    "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
    "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

bool is_ascii_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f'); }

/// Length of the white space character at the front of `text`, or 0.
std::size_t space_length(std::string_view text) noexcept {
  if (is_ascii_space(text.front())) return 1;
  if (static_cast<unsigned char>(text.front()) < 0xC2) return 0;
  const auto found = std::ranges::find_if(kWideSpaces, [&](std::string_view space) { return text.starts_with(space); });
  return found == kWideSpaces.end() ? 0 : found->size();
}

}  // namespace

std::vector<std::string_view> split_whitespace(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t start = 0, at = 0;
  while (at < text.size()) {
    const std::size_t space = space_length(text.substr(at));
    if (space == 0) {
      ++at;
      continue;
    }
    if (at > start) words.push_back(text.substr(start, at - start));
    at += space;
    start = at;
  }
  if (at > start) words.push_back(text.substr(start));
  return words;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    if (is_ascii_space(text.back())) {
      text.remove_suffix(1);
      continue;
    }
    const auto found = std::ranges::find_if(kWideSpaces, [&](std::string_view space) { return text.ends_with(space); });
    if (found == kWideSpaces.end()) break;
    text.remove_suffix(found->size());
  }
  return text;
}

void for_each_line(std::string_view text, const std::function<void(std::string_view line)>& line) {
  while (!text.empty()) {
    const std::size_t end = text.find_first_of("\r\n");
    line(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

}  // namespace compat
