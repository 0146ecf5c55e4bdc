// tokenizer.json for a Hugging Face folder whose model keeps fairseq's ids. Map:
// compat/huggingface/huggingface.md
#pragma once

#include <cstdint>
#include <filesystem>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/tokenizer.h"

namespace converters {

struct HuggingFaceTokenizer {
  std::int64_t strays = 0;  ///< The tokenizer's tokens that the dictionary lacks.
  std::int64_t beyond = 0;  ///< Those of them with an id of their own from dictionary.size() on.
  std::int64_t proven_texts = 0, proven_tokens = 0;
  std::int64_t ties =
      0;  ///< Texts that a unigram model cuts in two ways equally well; both are right.
};

/// Writes tokenizer.json and tokenizer_config.json, with which AutoTokenizer gives the ids that
/// preprocessing with `dictionary` gives, and reads tokenizer.json back to compare both on texts of
/// the dictionary's symbols. A token that the dictionary lacks has <unk>'s id where it is part of
/// no other; else, for the merges to work, one that no model has. FormatError for a dictionary of
/// another tokenizer (`dictionary_file` is for messages) and for ids that differ; UnsupportedError
/// for sentencepiece models that tokenizer.json cannot express. `options.bpe` is gpt2 or
/// sentencepiece.
HuggingFaceTokenizer write_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                  const compat::Dictionary& dictionary,
                                                  const std::filesystem::path& dictionary_file,
                                                  const compat::TokenizerOptions& options,
                                                  std::int64_t positions);

}  // namespace converters
