// Text to the ids of a model's dictionary and back. Scoring, generation and the server use the same
// codec.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/document_encoder.h"
#include "compat/tokenizer/tokenizer.h"

namespace compat {

/// How well a tokenizer and a dictionary belong together.
struct TokenizerFit {
  /// Share of the dictionary's counts on symbols that the tokenizer never writes, from 0 to 1.
  double foreign_share = 0;
  std::int64_t foreign = 0, symbols = 0;  ///< The same in symbols: how many, of how many.
  std::string example;                    ///< The most frequent foreign symbol.
};

/// Symbols that belong to no text (special ones, madeupwordNNNN) do not count. Where the dictionary
/// has no counts, each symbol counts once.
TokenizerFit tokenizer_fit(const Dictionary& dictionary, const Tokenizer& tokenizer);

/// A tokenizer whose fit has a larger foreign_share does not fit. Below it are the characters that
/// a sentencepiece model does not know, which fairseq-preprocess puts into dict.txt as they are.
/// For the dict.txt of tests/golden, models that were trained on one of its domains have 0.19 (as
/// many pieces) and 0.35 (a quarter of them).
inline constexpr double kMostForeign = 0.05;

/// A tokenizer and a dictionary. Each object is for one thread at a time.
class TextCodec {
 public:
  /// Without a tokenizer, a text is words between white space. The files are for messages.
  /// FormatError about `tokenizer_file` where the tokenizer does not fit the dictionary.
  TextCodec(Dictionary dictionary, const std::string& dictionary_file,
            std::unique_ptr<Tokenizer> tokenizer, const std::string& tokenizer_file);

  /// A codec for another thread. It shares the tables.
  TextCodec clone() const;

  const Dictionary& dictionary() const noexcept { return *dictionary_; }

  /// The ids of `text` without </s>: those of btm-convert preprocess, which strips white space at
  /// both ends first. FormatError for text that is not UTF-8; else errors of Tokenizer::encode().
  std::vector<std::int64_t> encode(std::string_view text);
  /// How many words of all texts so far became <unk>, because the dictionary lacks them.
  std::int64_t unknown() const noexcept { return encoder_.replaced(); }

  /// The text of ids. <s>, <pad> and </s> have none; <unk> is as the tokenizer has it. GPT-2's BPE
  /// gives the encoded text byte for byte, but for bytes that are no UTF-8: they are U+FFFD.
  /// sentencepiece gives the text that it normalised. Words are joined by single spaces.
  /// std::invalid_argument for an id outside the dictionary.
  std::string decode(std::span<const std::int64_t> ids) const;
  /// The text of ids before what may change when more ids follow: that of Tokenizer::stepwise().
  std::string decode_stepwise(std::span<const std::int64_t> ids) const;
  /// Whether both are the same.
  bool is_stepwise() const { return !tokenizer_ || &tokenizer_->stepwise() == tokenizer_.get(); }

 private:
  std::vector<std::string_view> symbols_of(std::span<const std::int64_t> ids) const;

  TextCodec(const TextCodec& other, DocumentEncoder encoder);

  std::shared_ptr<const Dictionary> dictionary_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  DocumentEncoder encoder_;
};

/// Decodes a text whose ids come one by one. before() and its pieces, put together, are decode() of
/// all ids. No piece ends amid a character. With --tokenizer moses, whose text may change with each
/// id, all of it comes at the end.
class TextStream {
 public:
  /// The text goes on after that of `before`, for example a prompt, which is not given again.
  explicit TextStream(const TextCodec& codec, std::span<const std::int64_t> before = {});

  /// The same, of decode_stepwise().
  static TextStream stepwise(const TextCodec& codec, std::span<const std::int64_t> before = {});

  /// The text that is certain after `id`. Empty where it ends amid a character.
  std::string push(std::int64_t id);
  /// What was held back.
  std::string finish();
  /// The text of the ids before the first one, as far as it stays as it is. With --tokenizer moses
  /// finish() may shorten it: of Czech "e' -", "e'" stays where "mail" makes it "e'-mail".
  const std::string& before() const noexcept { return *before_; }

 private:
  TextStream(const TextCodec& codec, std::span<const std::int64_t> before, bool holds_all);
  std::string take(bool all);
  std::string rest();

  const TextCodec* codec_;
  std::shared_ptr<const std::string> before_;  ///< Copies of a stream share it.
  bool holds_all_;                             ///< Until the end.
  std::vector<std::int64_t> ids_;  ///< The last ones, as many as the next text depends on.
  std::size_t given_ = 0;          ///< Bytes of their text that were given.
};

/// [T] the text of each id after those before it, and after `before`. A character of several ids
/// belongs to the last of them. With --tokenizer moses it is the text before detokenizing.
std::vector<std::string> pieces_of(const TextCodec& codec, std::span<const std::int64_t> ids,
                                   std::span<const std::int64_t> before = {});

}  // namespace compat
