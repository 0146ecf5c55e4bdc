// Data sets as text: fairseq's raw form, JSON lines, and what the tokenizer makes of the ids.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/tokenizer/tokenizer.h"

namespace converters {

/// Writes PREFIX.None-None, fairseq's 'raw': symbols with spaces between, a sequence a line, its
/// </s> left out. UnsupportedError for what would not be read back as the same ids: a sequence
/// without </s> at its end, a symbol with white space in it.
void write_raw_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                       const compat::Dictionary& dictionary);

/// A tokenizer with the dictionary whose symbols it knows: what turns ids into text. Both or
/// neither.
struct TextDecoder {
  const compat::Tokenizer* tokenizer = nullptr;
  const compat::Dictionary* dictionary = nullptr;

  /// The text of a sequence, its closing </s> left out.
  std::string text_of(std::span<const std::int64_t> ids) const;
};

/// Writes PREFIX.txt: the text of a sequence a line. UnsupportedError for a text that holds a line
/// end.
void write_text_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                        const TextDecoder& decoder);

/// Writes PREFIX.jsonl: a line {"ids": [...]} for each sequence, before it its "text" where there
/// is a decoder.
void write_jsonl_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                         const TextDecoder& decoder = {});

/// Reads the "ids" of every line of PREFIX.jsonl; other keys are ignored. FormatError with the
/// line.
std::unique_ptr<compat::IndexedDataset> open_jsonl_dataset(const std::filesystem::path& prefix);

}  // namespace converters
