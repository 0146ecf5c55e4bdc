// Tokenizers convert text to the symbols of a dict.txt and back: GPT-2's byte-level BPE,
// sentencepiece models, fastBPE, bytes, characters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/program/command_line.h"

namespace compat {

/// The tokens of texts. encode() appends to them.
struct Tokens {
  std::vector<std::int32_t>
      ids;  ///< The tokenizer's own ids: values of encoder.json, or piece ids of a model.
  std::vector<std::string> unknown;  ///< The text of each token whose id is unknown_id(), in order.
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// A tokenizer that shares the tables and has its own cache. Each object's encode() may run on
  /// one thread at a time.
  virtual std::unique_ptr<Tokenizer> clone() const = 0;

  /// Appends the tokens of `text`, which is UTF-8. UnsupportedError for a text that the tokenizer
  /// cannot encode.
  virtual void encode(std::string_view text, Tokens& out) = 0;

  /// Ids lie in [0, size()).
  virtual std::int32_t size() const noexcept = 0;
  /// The id of unknown tokens. -1 when every text has known tokens.
  virtual std::int32_t unknown_id() const noexcept = 0;

  /// The token's symbol in dict.txt. For GPT-2 it is the id in decimal digits, as fairseq's
  /// multiprocessing_bpe_encoder writes it. For sentencepiece it is the piece. Empty for an unused
  /// id.
  virtual std::string symbol(std::int32_t id) const = 0;

  /// The symbol of a special token, given by its name in the vocabulary ("<|endoftext|>" is
  /// "50256"). Returns `name` when the vocabulary has no such token.
  virtual std::string symbol_of_special(const std::string& name) const = 0;

  /// Whether encode() writes `symbol`, for tokenizers whose symbols are not numbered. Nothing where
  /// symbol() gives all of them.
  virtual std::optional<bool> writes(std::string_view) const { return std::nullopt; }

  /// The tokenizer whose decode() of more symbols begins with that of fewer, so that text can be
  /// given out while symbols come. This one, unless what follows changes its text.
  virtual const Tokenizer& stepwise() const { return *this; }

  /// The text of symbols. A symbol that the tokenizer does not have (for example <unk>) stands for
  /// itself. Bytes that are not UTF-8 (part of a character) become U+FFFD.
  virtual std::string decode(std::span<const std::string_view> symbols) const = 0;
};

/// A tokenizer from GPT-2's encoder.json and vocab.bpe, read as fairseq reads them. FormatError
/// when a file is malformed, or when the files do not belong together.
std::unique_ptr<Tokenizer> load_gpt2_bpe(const std::filesystem::path& encoder_json,
                                         const std::filesystem::path& vocab_bpe);

/// One line of vocab.bpe.
struct Gpt2Merge {
  std::string left, right;
  std::uint32_t line = 0;
};

/// Reads vocab.bpe as GPT-2 and fairseq do. The first line is a version. An empty line is no merge.
/// Text after the last line end is ignored. FormatError for other lines, and when there is no
/// merge.
std::vector<Gpt2Merge> read_gpt2_merges(const std::filesystem::path& vocab_bpe);

/// A tokenizer from a sentencepiece model of any type. FormatError when the file is no such model.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& model);

/// The --bpe of find_tokenizer.h.
inline constexpr const char* kFoundTokenizer = "auto";

/// The options of a command line that choose a tokenizer.
struct TokenizerOptions {
  /// none, gpt2, hf_byte_bpe, sentencepiece, fastbpe, bytes or characters; or kFoundTokenizer
  std::string bpe = "none";
  std::string gpt2_encoder_json = {}, gpt2_vocab_bpe = {}, sentencepiece_model = {};
  std::string bpe_codes = {}, fastbpe_vocab = {};  ///< Of fastbpe.
  std::string bpe_vocab = {}, bpe_merges = {};     ///< Of hf_byte_bpe.
  bool bpe_add_prefix_space = false;
  std::string tokenizer = "none";  ///< What comes before: none, space or moses.
  std::string moses_data = {};     ///< Of moses: sacremoses' folder data.
  std::string moses_source_lang = "en", moses_target_lang = "en";
  bool moses_no_dash_splits = false, moses_no_escape = false;

  /// The files that are named, for the kind of --bpe.
  std::vector<std::string> files() const;
};

/// The flags --bpe and --tokenizer with those of their files, named as in fairseq. --bpe auto is
/// offered where it is the default.
FlagGroup tokenizer_flags(TokenizerOptions& options);

/// UsageError for a --tokenizer that is unknown or not reproduced here (nltk).
void check_pretokenizer(const std::string& name);

/// The tokenizer, or null for --bpe none. UsageError when the files that --bpe needs are not named,
/// and of check_pretokenizer().
std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerOptions& options);

}  // namespace compat
