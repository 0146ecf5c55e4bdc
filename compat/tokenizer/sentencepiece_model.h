// What sentencepiece's library does not tell of a model: facts of its protocol buffer
// (sentencepiece_model.proto).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace compat {

/// A model's content, seen in the bytes that it was read from.
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
  std::string_view charsmap;  ///< precompiled_charsmap of the normalisation; empty: identity
  bool byte_fallback = false, treat_whitespace_as_suffix = false;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

/// Nothing for bytes that are no model.
std::optional<SentencePieceModel> read_sentencepiece_model(std::string_view model);

/// Whether the words of a text without U+2581, in the sense of begins_word() below, are encoded
/// each by itself: a BPE model whose pieces hold no space but at their start and are all in use,
/// with one of sentencepiece's own normalisations, which puts a space before a text and drops
/// superfluous ones. (Not of unigram models: they add scores up over the whole text, in fp32, where
/// a tie may go another way.) False for bytes that are no model.
bool encodes_words_apart(std::string_view model) noexcept;

/// U+2581, which stands for a space in pieces. In a text it is taken for one, or dropped, by what
/// is around it.
inline constexpr std::string_view kSpacePiece = "\xe2\x96\x81";

/// Whether a character that starts with `byte` begins a word after a space whatever it is:
/// printable ASCII, Latin, Greek and Cyrillic letters. Other characters may combine with the space
/// in normalisation.
constexpr bool begins_word(char byte) noexcept {
  const auto lead = static_cast<unsigned char>(byte);
  return (lead > 0x20 && lead < 0x7f) || (lead >= 0xc3 && lead <= 0xcb) ||
         (lead >= 0xce && lead <= 0xd1);
}

}  // namespace compat
