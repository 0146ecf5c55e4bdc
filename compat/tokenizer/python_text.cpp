#include "compat/tokenizer/python_text.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "compat/base/error.h"
#include "compat/base/text.h"

namespace compat {
namespace {

struct CodeRange {
  std::uint32_t first, last;
};
/// Every `step`-th character from `first` to `last` has the small letter `difference` further.
struct LowerRange {
  std::uint32_t first, last, step;
  std::int32_t difference;
};

#include "compat/tokenizer/python_characters.inc"

constexpr std::uint32_t kSigma = 0x3A3, kFinalSigma = 0x3C2, kDottedI = 0x130, kDotAbove = 0x307;
constexpr std::uint8_t kIsWord = 1, kIsDigit = 2, kIsCased = 4, kIsSkipped = 8, kHasLower = 16;

/// One byte of flags per code point, up to the last one with a flag.
const std::vector<std::uint8_t>& flag_table() {
  static const std::vector<std::uint8_t> table = [] {
    std::vector<std::uint8_t> flags;
    const auto fill = [&](const auto& ranges, std::uint8_t flag) {
      for (const auto& range : ranges) {
        if (flags.size() <= range.last) flags.resize(range.last + 1);
        for (std::uint32_t code = range.first; code <= range.last; ++code) flags[code] |= flag;
      }
    };
    fill(kWordCharacters, kIsWord);
    fill(kDigits, kIsDigit);
    fill(kCased, kIsCased);
    fill(kSkipped, kIsSkipped);
    fill(kLower, kHasLower);
    return flags;
  }();
  return table;
}

bool has(std::uint32_t code, std::uint8_t flag) noexcept {
  const auto& table = flag_table();
  return code < table.size() && (table[code] & flag) != 0;
}

std::uint32_t small_letter(std::uint32_t code) noexcept {
  if (!has(code, kHasLower)) return code;
  const LowerRange* const after = std::upper_bound(
      std::begin(kLower), std::end(kLower), code,
      [](std::uint32_t value, const LowerRange& range) { return value < range.first; });
  const LowerRange& range = *(after - 1);
  if (code > range.last || (code - range.first) % range.step != 0) return code;
  return static_cast<std::uint32_t>(static_cast<std::int64_t>(code) + range.difference);
}

/// Whether a letter with case comes next, behind characters that are skipped.
bool is_before_cased(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    const std::uint32_t code = code_point(text, length);
    if (!has(code, kIsSkipped)) return has(code, kIsCased);
    text.remove_prefix(length);
  }
  return false;
}

}  // namespace

std::uint32_t code_point(std::string_view text, std::size_t length) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (length <= 1) return byte(0);
  std::uint32_t code = byte(0) & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code = (code << 6) | (byte(i) & 0x3FU);
  return code;
}

std::u32string code_points_of(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(utf8_length(text), 1);
    codes += static_cast<char32_t>(code_point(text, length));
    text.remove_prefix(length);
  }
  return codes;
}

bool python_is_digit(std::uint32_t code) noexcept { return has(code, kIsDigit); }

bool python_is_word(std::uint32_t code) noexcept { return has(code, kIsWord); }

std::string python_lower(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  bool after_cased = false;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      lower += text.front();
      after_cased = false;
      text.remove_prefix(1);
      continue;
    }
    const std::uint32_t code = code_point(text, length);
    text.remove_prefix(length);
    if (code == kSigma) {
      append_utf8(after_cased && !is_before_cased(text) ? kFinalSigma : small_letter(code), lower);
    } else if (code == kDottedI) {
      append_utf8('i', lower);
      append_utf8(kDotAbove, lower);
    } else {
      append_utf8(small_letter(code), lower);
    }
    if (!has(code, kIsSkipped)) after_cased = has(code, kIsCased);
  }
  return lower;
}

void for_each_python_word(std::string_view text,
                          const std::function<void(std::string_view word)>& visit) {
  std::size_t from = 0, count = 0;
  const auto end_run = [&](std::size_t at, std::size_t next) {
    if (count >= 2) visit(text.substr(from, at - from));
    from = next, count = 0;
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    const std::size_t next = at + std::max<std::size_t>(length, 1);
    if (length > 0 && python_is_word(code_point(text.substr(at), length)))
      ++count;
    else
      end_run(at, next);
    at = next;
  }
  end_run(text.size(), text.size());
}

}  // namespace compat
