// Python's str methods, with its definitions of white space and line ends beyond ASCII. fairseq's
// tokenizer and dict.txt depend on these definitions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace compat {

namespace text_detail {

enum : unsigned char { kInWord, kSpace, kMayBeSpace };

/// Whether a byte is white space, belongs to a word, or may begin a white space character beyond
/// ASCII. Those are U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F and
/// U+3000.
constexpr std::array<unsigned char, 256> kByteKind = [] {
  std::array<unsigned char, 256> kinds{};
  for (const unsigned char c : {' ', '\t', '\n', '\v', '\f', '\r', '\x1c', '\x1d', '\x1e', '\x1f'})
    kinds[c] = kSpace;
  for (const int lead : {0xC2, 0xE1, 0xE2, 0xE3})
    kinds[static_cast<std::size_t>(lead)] = kMayBeSpace;
  return kinds;
}();

/// Length of the white space character beyond ASCII at the front of `text`, or 0.
std::size_t wide_space_length(std::string_view text) noexcept;

}  // namespace text_detail

/// str.split(): calls `visit(word)` for each word between runs of Unicode white space. `text` is
/// UTF-8.
template <class Visit>
void for_each_word(std::string_view text, Visit&& visit) {
  std::size_t start = 0, at = 0;
  while (at < text.size()) {
    const unsigned char kind = text_detail::kByteKind[static_cast<unsigned char>(text[at])];
    const std::size_t space = kind == text_detail::kInWord ? 0
                              : kind == text_detail::kSpace
                                  ? 1
                                  : text_detail::wide_space_length(text.substr(at));
    if (space == 0) {
      ++at;
      continue;
    }
    if (at > start) visit(text.substr(start, at - start));
    at += space;
    start = at;
  }
  if (at > start) visit(text.substr(start));
}

/// str.split() as a list.
std::vector<std::string_view> split_whitespace(std::string_view text);

/// str.rstrip().
std::string_view strip_right(std::string_view text);

/// str.strip().
std::string_view strip(std::string_view text);

/// chr(code) as UTF-8. A surrogate gives the three bytes of Python's "surrogatepass".
void append_utf8(std::uint32_t code, std::string& out);

/// Calls `line` for each line of a file that Python opens in text mode. "\n", "\r\n" and "\r" end a
/// line and are left out.
void for_each_line(std::string_view text, const std::function<void(std::string_view line)>& line);

/// The parts of `text` between separators. Empty parts are left out.
std::vector<std::string> split_at(std::string_view text, char separator);

}  // namespace compat
