// fastBPE (--bpe fastbpe): words between spaces, merged from their characters by a table of codes.
// Formats and rule: fastbpe.md
#pragma once

#include <filesystem>
#include <memory>

#include "compat/tokenizer/tokenizer.h"

namespace compat {

/// `vocabulary` may be empty; fairseq's encoder has none. FormatError for lines of another form,
/// and for a pair or a word that comes twice.
std::unique_ptr<Tokenizer> load_fastbpe(const std::filesystem::path& codes,
                                        const std::filesystem::path& vocabulary);

}  // namespace compat
