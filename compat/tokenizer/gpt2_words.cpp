#include "compat/tokenizer/gpt2_words.h"

#include <vector>

namespace compat {
namespace {

struct Range {
  std::uint32_t first, last;
  Category category;
};

constexpr Category kLetter = Category::kLetter, kNumber = Category::kNumber,
                   kSpace = Category::kSpace;

constexpr Range kRanges[] = {
#include "compat/tokenizer/unicode_categories.inc"
};

constexpr Range kSpaces[] = {{0x9, 0xD, kSpace},       {0x20, 0x20, kSpace},
                             {0x85, 0x85, kSpace},     {0xA0, 0xA0, kSpace},
                             {0x1680, 0x1680, kSpace}, {0x2000, 0x200A, kSpace},
                             {0x2028, 0x2029, kSpace}, {0x202F, 0x202F, kSpace},
                             {0x205F, 0x205F, kSpace}, {0x3000, 0x3000, kSpace}};

/// One byte per code point, up to the last one in a range.
const std::vector<Category>& category_table() {
  static const std::vector<Category> table = [] {
    std::vector<Category> categories;
    const auto fill = [&](const Range& range) {
      if (categories.size() <= range.last) categories.resize(range.last + 1);
      for (std::uint32_t code = range.first; code <= range.last; ++code)
        categories[code] = range.category;
    };
    for (const Range& range : kRanges) fill(range);
    for (const Range& range : kSpaces) fill(range);
    return categories;
  }();
  return table;
}

/// Iterates over the code points of valid UTF-8.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept
      : at_(text.data()), end_(text.data() + text.size()), table_(category_table()) {
    look();
  }

  bool at_end() const noexcept { return at_ == end_; }
  Category category() const noexcept { return category_; }
  std::size_t code_size() const noexcept { return size_; }
  const char* at() const noexcept { return at_; }

  void next() noexcept {
    at_ += size_;
    look();
  }

 private:
  void look() noexcept {
    size_ = 0;
    if (at_ == end_) return;
    const auto byte = [this](int i) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(at_[i]));
    };
    const std::uint32_t first = byte(0);
    std::uint32_t code = first;
    if (first < 0x80) {
      size_ = 1;
    } else if (first < 0xE0) {
      size_ = 2;
      code = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    } else if (first < 0xF0) {
      size_ = 3;
      code = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    } else {
      size_ = 4;
      code =
          (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    }
    category_ = code < table_.size() ? table_[code] : Category::kOther;
  }

  const char* at_;
  const char* end_;
  const std::vector<Category>& table_;
  std::size_t size_ = 0;
  Category category_ = Category::kOther;
};

/// Length of 's, 't, 'm, 'd, 're, 've or 'll at the front, or 0.
std::size_t contraction_length(std::string_view text) noexcept {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char first = text[1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (text.size() < 3) return 0;
  const char second = text[2];
  const bool three =
      (second == 'e' && (first == 'r' || first == 'v')) || (first == 'l' && second == 'l');
  return three ? 3 : 0;
}

}  // namespace

Category category_of(std::uint32_t code) noexcept {
  const auto& table = category_table();
  return code < table.size() ? table[code] : Category::kOther;
}

std::size_t gpt2_word_length(std::string_view text) noexcept {
  if (const std::size_t length = contraction_length(text); length > 0) return length;
  Cursor cursor(text);
  const auto length = [&] { return static_cast<std::size_t>(cursor.at() - text.data()); };
  if (text.front() == ' ') cursor.next();
  if (!cursor.at_end() && cursor.category() != Category::kSpace) {
    const Category category = cursor.category();
    while (!cursor.at_end() && cursor.category() == category) cursor.next();
    return length();
  }
  // White space, including the space already passed. At the end of the text all of it is a word.
  // Otherwise its last character belongs to the next word, unless it is the only one.
  std::size_t last = 0;
  if (length() > 0) last = 1;
  std::size_t count = last;
  while (!cursor.at_end() && cursor.category() == Category::kSpace) {
    last = cursor.code_size();
    ++count;
    cursor.next();
  }
  return cursor.at_end() || count == 1 ? length() : length() - last;
}

std::array<std::string, 256> gpt2_byte_characters() {
  std::array<std::string, 256> characters;
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const std::uint32_t code = printable ? byte : next++;
    if (code < 0x80)
      characters[byte] = static_cast<char>(code);
    else
      characters[byte] = {static_cast<char>(0xC0 | code >> 6),
                          static_cast<char>(0x80 | (code & 0x3F))};
  }
  return characters;
}

}  // namespace compat
