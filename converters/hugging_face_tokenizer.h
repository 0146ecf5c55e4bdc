// Tokenizer files of a Hugging Face folder whose model keeps fairseq's ids.
#pragma once

#include <filesystem>

#include "compat/dictionary.h"

namespace converters {

/// Writes vocab.json (encoder.json's tokens under the ids of `dictionary`, whose symbols are GPT-2's ids in decimal),
/// merges.txt and tokenizer_config.json. FormatError for an encoder.json that is none.
void write_gpt2_tokenizer(const std::filesystem::path& folder, const compat::Dictionary& dictionary,
                          const std::filesystem::path& encoder_json, const std::filesystem::path& vocab_bpe);

}  // namespace converters
