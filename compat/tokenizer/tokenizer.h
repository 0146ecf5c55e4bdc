// Tokenisers: text to the symbols of a dict.txt and back. GPT-2's byte-level BPE and sentencepiece
// models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/program/command_line.h"

namespace compat {

/// Tokens of texts, as encode() appends them.
struct Tokens {
  std::vector<std::int32_t>
      ids;  ///< The tokenizer's own ids: encoder.json's values, a sentencepiece model's piece ids.
  std::vector<std::string>
      unknown;  ///< In order, the text of each token whose id is the tokenizer's unknown_id().
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The same tables (shared) with a cache of its own: encode() of one object runs on one thread at
  /// a time.
  virtual std::unique_ptr<Tokenizer> clone() const = 0;

  /// Appends the tokens of `text`, which must be UTF-8. UnsupportedError for a text the tokenizer
  /// cannot take.
  virtual void encode(std::string_view text, Tokens& out) = 0;

  /// Ids lie in [0, size()).
  virtual std::int32_t size() const noexcept = 0;
  /// -1: there is none, every text has tokens.
  virtual std::int32_t unknown_id() const noexcept = 0;

  /// What a dict.txt calls the token: GPT-2's id in decimal digits (as fairseq's
  /// multiprocessing_bpe_encoder writes them), sentencepiece's piece. Empty for an id that is not
  /// used.
  virtual std::string symbol(std::int32_t id) const = 0;

  /// A special token's symbol by the name its vocabulary gives it ("<|endoftext|>" is "50256");
  /// `name` itself when the vocabulary has no such token.
  virtual std::string symbol_of_special(const std::string& name) const = 0;

  /// The text of symbols. A symbol that is none of the tokenizer's (<unk>, say) stands for itself;
  /// bytes that are not UTF-8 (a character cut in two) become U+FFFD.
  virtual std::string decode(std::span<const std::string_view> symbols) const = 0;
};

/// GPT-2's encoder.json and vocab.bpe, with fairseq's reading of them. FormatError where one of the
/// files is not what it should be or they do not belong together.
std::unique_ptr<Tokenizer> load_gpt2_bpe(const std::filesystem::path& encoder_json,
                                         const std::filesystem::path& vocab_bpe);

/// A line of vocab.bpe.
struct Gpt2Merge {
  std::string left, right;
  std::uint32_t line = 0;
};

/// vocab.bpe as GPT-2 and fairseq read it: the first line is a version, an empty line is no merge,
/// what follows the last line end is not read. FormatError for other lines, and where there is no
/// merge.
std::vector<Gpt2Merge> read_gpt2_merges(const std::filesystem::path& vocab_bpe);

/// A sentencepiece model of any type. FormatError for a file that is none.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& model);

/// A tokenizer as a command line names it.
struct TokenizerOptions {
  std::string bpe = "none";  ///< none, gpt2 or sentencepiece
  std::string gpt2_encoder_json = {}, gpt2_vocab_bpe = {}, sentencepiece_model = {};
};

/// --bpe, --gpt2-encoder-json, --gpt2-vocab-bpe, --sentencepiece-model: fairseq's names.
FlagGroup tokenizer_flags(TokenizerOptions& options);

/// Null for none. UsageError when --bpe's files are not named.
std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerOptions& options);

}  // namespace compat
