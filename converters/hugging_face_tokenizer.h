// Writes a tokenizer.json for a Hugging Face folder whose model has fairseq's ids. Described in
// compat/huggingface/huggingface.md
#pragma once

#include <cstdint>
#include <filesystem>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/tokenizer.h"

namespace converters {

struct HuggingFaceTokenizer {
  std::int64_t missing_tokens = 0;  ///< Number of the tokenizer's tokens that the dictionary lacks.
  std::int64_t extra_ids = 0;  ///< Number of those that have an own id, from dictionary.size() on.
  std::int64_t proven_texts = 0, proven_tokens = 0;
  std::int64_t ties = 0;  ///< Number of texts with two equally good unigram segmentations.
};

/// Writes tokenizer.json and tokenizer_config.json. With them AutoTokenizer gives the ids that
/// preprocessing with `dictionary` gives. Reads tokenizer.json back and compares both on texts of
/// the dictionary's symbols.
/// A token that the dictionary lacks has <unk>'s id, unless merges need it: then it has an id that
/// the model does not have. `options.bpe` is gpt2 or sentencepiece. `dictionary_file` is for
/// messages.
/// FormatError for a dictionary of another tokenizer and for ids that differ. UnsupportedError for
/// sentencepiece models that tokenizer.json cannot express.
HuggingFaceTokenizer write_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                  const compat::Dictionary& dictionary,
                                                  const std::filesystem::path& dictionary_file,
                                                  const compat::TokenizerOptions& options,
                                                  std::int64_t positions);

}  // namespace converters
