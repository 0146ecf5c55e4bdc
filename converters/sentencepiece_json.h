// A sentencepiece model as the parts of a tokenizer.json.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "compat/tokenizer/tokenizer.h"
#include "converters/tokenizer_symbols.h"

namespace converters {

/// "normalizer", "pre_tokenizer", "decoder" and "model", with the ids of `symbols`. FormatError for
/// a dictionary of another tokenizer, UnsupportedError for a model that tokenizer.json cannot
/// express.
nlohmann::ordered_json sentencepiece_json(Symbols& symbols,
                                          const compat::TokenizerOptions& options);

}  // namespace converters
