// Facts about a sentencepiece model that the library does not expose, read from its protocol buffer
// (sentencepiece_model.proto).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace compat {

/// The content of a model. The views point into the bytes that it was read from.
struct SentencePieceModel {
  enum Type : std::uint64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  enum Algorithm : std::uint64_t { kUnigram = 1, kBpe, kWord, kChar };
  struct Piece {
    std::string_view text;
    float score = 0;
    std::uint64_t type = kNormal;
  };
  std::vector<Piece> pieces;
  std::uint64_t algorithm = kUnigram;
  std::string_view charsmap;  ///< precompiled_charsmap of the normalisation. Empty for identity.
  bool byte_fallback = false, treat_whitespace_as_suffix = false;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

/// An empty optional when the bytes are no model.
std::optional<SentencePieceModel> read_sentencepiece_model(std::string_view model);

/// Whether the words of a text without U+2581 can be encoded one by one. Words begin as
/// begins_word() below says. The model must be BPE, all its pieces in use, with a space only at
/// their start. Its normalisation must be one of sentencepiece's own that puts a space before a
/// text and removes superfluous ones. Unigram models do not qualify: they sum scores over the whole
/// text in fp32, where ties can differ. False when the bytes are no model.
bool encodes_words_separately(std::string_view model) noexcept;

/// U+2581, which stands for a space in pieces. In a text it is read as a space or removed,
/// depending on the characters around it.
inline constexpr std::string_view kSpacePiece = "\xe2\x96\x81";

/// Whether every character whose first byte is `byte` begins a word after a space. True for
/// printable ASCII and for Latin, Greek and Cyrillic letters. Normalisation can combine other
/// characters with the space.
constexpr bool begins_word(char byte) noexcept {
  const auto lead = static_cast<unsigned char>(byte);
  return (lead > 0x20 && lead < 0x7f) || (lead >= 0xc3 && lead <= 0xcb) ||
         (lead >= 0xce && lead <= 0xd1);
}

}  // namespace compat
