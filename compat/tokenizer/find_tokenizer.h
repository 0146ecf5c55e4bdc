// Finds the tokenizer of a dictionary where the command line names none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/tokenizer.h"

namespace compat {

/// What the symbols of a dictionary are.
enum class SymbolKind : std::uint8_t {
  kWords,
  kPieces,   ///< Of a sentencepiece model: some begin with U+2581.
  kGpt2Ids,  ///< Decimal numbers: ids of GPT-2's encoder.json.
};
SymbolKind symbol_kind(const Dictionary& dictionary);

struct FoundTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;  ///< Null for words.
  std::string file;                      ///< For messages.
  TokenizerOptions options = {};         ///< That load_tokenizer() makes it from.
};

/// The flags of a command line that say the same as `options`, whose --bpe is a kind.
std::vector<std::string> tokenizer_words(const TokenizerOptions& options);

/// The tokenizer that `options` name by --bpe or by files. Otherwise one in `folders`, the first
/// before the others, for the symbols of `dictionary`: a sentencepiece model (*.model), or
/// encoder.json with vocab.bpe (also vocab.json with merges.txt). Words need none. UsageError where
/// files of both kinds are named, where none is found, and where several in a folder fit. The
/// error of TextCodec for the only one in the folders that does not fit.
FoundTokenizer find_tokenizer(const TokenizerOptions& options, const Dictionary& dictionary,
                              const std::string& dictionary_file,
                              std::span<const std::filesystem::path> folders);

}  // namespace compat
