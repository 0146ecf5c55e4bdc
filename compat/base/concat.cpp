#include "compat/base/concat.h"

namespace compat {

void text_detail::append_all(std::string& text, std::initializer_list<TextPiece> pieces) {
  std::size_t size = text.size();
  for (const TextPiece& piece : pieces) size += piece.text().size();
  text.reserve(size);
  for (const TextPiece& piece : pieces) text += piece.text();
}

}  // namespace compat
