// Texts made of pieces: messages, names, lists.
#pragma once

#include <charconv>
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace compat {

/// Characters, or an integer in decimal digits. Refers to what it was made of, so it lives no
/// longer than the call that it is an argument of.
class TextPiece {
 public:
  TextPiece(std::string_view text) : text_(text) {}
  TextPiece(const std::string& text) : text_(text) {}
  TextPiece(const char* text) : text_(text) {}
  TextPiece(char character) : digits_{character}, text_(digits_, 1) {}
  template <std::integral T>
  TextPiece(T number)
      : text_(digits_,
              static_cast<std::size_t>(
                  std::to_chars(digits_, digits_ + sizeof digits_, number).ptr - digits_)) {}
  TextPiece(bool) = delete;  // True, true and 1 are all in use here
  TextPiece(const TextPiece&) = delete;
  TextPiece& operator=(const TextPiece&) = delete;

  std::string_view text() const noexcept { return text_; }

 private:
  char digits_[20];  // -9223372036854775808
  std::string_view text_;
};

namespace text_detail {
void append_all(std::string& text, std::initializer_list<TextPiece> pieces);
}

/// The pieces one after another: concat("has ", 3, " tensors").
template <class... Pieces>
std::string concat(const Pieces&... pieces) {
  std::string text;
  text_detail::append_all(text, {TextPiece(pieces)...});
  return text;
}

/// The same, behind what `text` holds.
template <class... Pieces>
void append(std::string& text, const Pieces&... pieces) {
  text_detail::append_all(text, {TextPiece(pieces)...});
}

/// Adds to a list that is shown as text: the separator comes before every item but the first.
inline void append_item(std::string& list, std::string_view item,
                        std::string_view separator = ", ") {
  if (!list.empty()) list += separator;
  list += item;
}

/// What `as_piece` makes of the items, with the separator between them.
template <class Items, class AsPiece>
std::string join(const Items& items, std::string_view separator, AsPiece&& as_piece) {
  std::string text;
  bool first = true;
  for (const auto& item : items) {
    if (!first) text += separator;
    first = false;
    text += TextPiece(as_piece(item)).text();
  }
  return text;
}

/// Texts or integers with the separator between them.
template <class Items>
std::string join(const Items& items, std::string_view separator) {
  return join(
      items, separator, [](const auto& item) -> const auto& { return item; });
}

}  // namespace compat
