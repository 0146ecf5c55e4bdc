// Data sets as text: fairseq's raw form, JSON lines, and decoded text.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/tokenizer/tokenizer.h"

namespace converters {

/// Writes PREFIX.None-None, fairseq's 'raw' form: a sequence per line, symbols separated by spaces,
/// without its </s>. UnsupportedError when reading would not give the same ids: for a sequence
/// without </s> at its end, or a symbol with white space in it.
void write_raw_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                       const compat::Dictionary& dictionary);

/// A tokenizer and the dictionary of its symbols, which decode ids to text. Both are set, or
/// neither.
struct TextDecoder {
  const compat::Tokenizer* tokenizer = nullptr;
  const compat::Dictionary* dictionary = nullptr;

  /// The text of a sequence without its final </s>.
  std::string text_of(std::span<const std::int64_t> ids) const;
};

/// Writes PREFIX.txt with the text of a sequence per line. UnsupportedError for a text that
/// contains a line end.
void write_text_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                        const TextDecoder& decoder);

/// Writes PREFIX.jsonl with a line {"ids": [...]} per sequence. With a decoder, "text" comes before
/// "ids".
void write_jsonl_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                         const TextDecoder& decoder = {});

/// Reads the "ids" of every line of PREFIX.jsonl and ignores other keys. FormatError with the line
/// number.
std::unique_ptr<compat::IndexedDataset> open_jsonl_dataset(const std::filesystem::path& prefix);

}  // namespace converters
