// The bytes of text that each token stands for. With them, losses of different vocabularies can be
// compared (bits per byte).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "compat/fairseq/dictionary.h"

namespace btm {

/// By token id. </s> stands for the newline of its sentence.
using ByteCounts = std::vector<std::int64_t>;

/// The bytes as the symbols of dict.txt tell them. There are three kinds of dictionaries:
///   sentencepiece, when some symbol begins with U+2581. A piece counts its bytes; U+2581 (a space)
///     and <0xNN> count one. sentencepiece puts a space before each line. That space stands for the
///     line's newline, so </s> counts none.
///   numbers, GPT-2's ids, as the released models have. Returns nothing: see gpt2_byte_counts.
///   words, otherwise. A word counts its bytes, and one for the space or newline after it. "@@" at
///     its end counts none, for the word goes on.
/// The text of <unk> is lost, so it counts as one character of its kind.
std::optional<ByteCounts> byte_counts(const compat::Dictionary& dictionary);

/// For a dictionary of ids of GPT-2's byte-level BPE. Each character of an id's key in
/// `encoder_json` is a byte. FormatError when the file is not such a map, or lacks an id.
ByteCounts gpt2_byte_counts(const compat::Dictionary& dictionary,
                            const std::filesystem::path& encoder_json);

}  // namespace btm
