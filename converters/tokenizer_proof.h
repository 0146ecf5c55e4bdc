// The proof that a tokenizer.json gives a data-bin's ids.
#pragma once

#include <filesystem>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/tokenizer.h"
#include "converters/tokenizer_symbols.h"

namespace converters {

/// Compares the ids of the file with those of `tokenizer` and `dictionary` on texts of the
/// dictionary's symbols, and counts them in `symbols.result`. FormatError for ids that differ, and
/// where most texts cannot be compared.
void prove_tokenizer(const std::filesystem::path& file, const compat::Dictionary& dictionary,
                     const compat::Tokenizer& tokenizer, Symbols& symbols, bool sentencepiece);

}  // namespace converters
