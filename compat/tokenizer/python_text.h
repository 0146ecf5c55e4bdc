// What Python's str and re make of characters: lower(), isdigit(), \w. Python 3.9 (Unicode 13).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace compat {

/// str.isdigit() of a character: decimal digits, and others such as superscripts.
bool python_is_digit(std::uint32_t code) noexcept;

/// Whether \w matches the character: letters, all numbers, '_'.
bool python_is_word(std::uint32_t code) noexcept;

/// str.lower() of UTF-8. Bytes that are not UTF-8 stay as they are.
std::string python_lower(std::string_view text);

/// The matches of \b\w\w+\b in UTF-8, from left to right: runs of at least two word characters.
/// Bytes that are not UTF-8 end a run.
void for_each_python_word(std::string_view text,
                          const std::function<void(std::string_view word)>& visit);

/// The code point at the front of `text`, which begins with a UTF-8 sequence of `length` bytes.
std::uint32_t code_point(std::string_view text, std::size_t length) noexcept;

/// The code points of UTF-8. A byte that is none stands for itself.
std::u32string code_points_of(std::string_view text);

}  // namespace compat
