// The words into which GPT-2's tokenizer splits text before it merges bytes:
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

/// The category of a code point. kOther above U+10FFFF.
Category category_of(std::uint32_t code) noexcept;

/// The character for each byte in encoder.json and vocab.bpe. Printable Latin-1 stands for itself,
/// the other bytes are U+0100 and following in order (GPT-2's bytes_to_unicode).
std::array<std::string, 256> gpt2_byte_characters();

/// Length in bytes of the word at the front of `text`, which is UTF-8 and not empty. `text` must
/// reach to the end of the document: the length of white space depends on what follows it.
std::size_t gpt2_word_length(std::string_view text) noexcept;

}  // namespace compat
