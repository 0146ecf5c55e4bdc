// The words that GPT-2's tokeniser cuts text into before it merges bytes:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// with the categories of Unicode 17 and \s as the property White_Space.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace compat {

enum class Category : std::uint8_t { kOther, kLetter, kNumber, kSpace };

/// The category of a code point; kOther above U+10FFFF.
Category category_of(std::uint32_t code) noexcept;

/// The character that stands for each byte in encoder.json and vocab.bpe: printable Latin-1 for
/// itself, the others from U+0100 on, in order (GPT-2's bytes_to_unicode).
std::array<std::string, 256> gpt2_byte_characters();

/// Length in bytes of the word at the front of `text`, which must be UTF-8 and not empty. `text`
/// goes on to the end of the document: white space is cut by what follows it.
std::size_t gpt2_word_length(std::string_view text) noexcept;

}  // namespace compat
