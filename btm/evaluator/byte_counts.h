// Bytes of text behind each token, so that losses of different vocabularies can be compared (bits
// per byte).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "compat/fairseq/dictionary.h"

namespace btm {

/// By token id. The end of a sentence is its newline.
using ByteCounts = std::vector<std::int64_t>;

/// What the symbols of dict.txt tell:
/// * sentencepiece (some symbol begins with U+2581): a piece has its bytes, U+2581 one (a space)
/// and <0xNN> one. The space
///   that sentencepiece puts before a line stands for the line's newline, so eos has none.
/// * words (anything else; a trailing "@@" continues a word): a word has its bytes and one of the
/// space or newline after it. Nothing for a dictionary of numbers (GPT-2's ids, as the released
/// models have): see gpt2_byte_counts. <unk> counts as one character of its kind, as its text is
/// lost.
std::optional<ByteCounts> byte_counts(const compat::Dictionary& dictionary);

/// For a dictionary whose symbols are ids of GPT-2's byte-level BPE: each character of an id's key
/// in `encoder_json` is a byte. FormatError when the file is not such a map, or lacks an id.
ByteCounts gpt2_byte_counts(const compat::Dictionary& dictionary,
                            const std::filesystem::path& encoder_json);

}  // namespace btm
