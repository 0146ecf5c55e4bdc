// Splits documents into symbols as fairseq-preprocess does, and counts them for a dictionary or
// converts them to its ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/tokenizer.h"
#include "compat/tokenizer/word_map.h"

namespace compat {

/// Counts the symbols of documents. Each thread needs its own object.
class SymbolCounter {
 public:
  /// `tokenizer` is cloned. When it is null, documents are words between white space.
  /// `end_of_document` is counted once per document, unless it is "".
  SymbolCounter(const Tokenizer* tokenizer, const std::string& end_of_document);
  void count(std::string_view document);
  std::int64_t documents() const noexcept { return documents_; }
  /// Adds the counts, and one </s> per document, to `dictionary`, as fairseq's
  /// add_file_to_dictionary does.
  void add_to(Dictionary& dictionary) const;

 private:
  void count_word(std::string_view word, std::int64_t times);

  std::unique_ptr<Tokenizer> tokenizer_;
  Tokens tokens_;
  std::vector<std::int64_t> by_id_;  ///< By the tokenizer's ids.
  WordMap<std::int64_t> by_word_;
  std::int64_t documents_ = 0;
  std::string end_of_document_;
};

/// Converts documents to ids of a dictionary, or to the text of their symbols. Each thread needs
/// its own clone().
class DocumentEncoder {
 public:
  /// `end_of_document` is a symbol that follows each document's own symbols, or "". UsageError when
  /// the dictionary lacks it.
  DocumentEncoder(const Dictionary& dictionary, const Tokenizer* tokenizer,
                  const std::string& end_of_document);
  DocumentEncoder clone() const;

  /// Appends the ids of the document and of </s>.
  void encode(std::string_view document, std::vector<std::int64_t>& ids);
  /// Appends the symbols, separated by spaces, and a line end.
  void append_symbols(std::string_view document, std::string& text);

  /// Number of words so far that the dictionary lacks. <unk> itself is not counted.
  std::int64_t replaced() const noexcept { return replaced_; }

 private:
  struct Shared {
    WordMap<std::int32_t> ids;  ///< By the dictionary's symbols.
    std::vector<std::int32_t>
        of_token;  ///< Dictionary id of each token id. kByText: look the words of its text up.
    std::string end_of_document;
    std::int32_t unk = 0, eos = 0;
    std::string unk_symbol;
    std::unique_ptr<Tokenizer> tokenizer;  ///< The original of all clones.
  };
  static constexpr std::int32_t kByText = -1;

  explicit DocumentEncoder(std::shared_ptr<const Shared> shared);
  void encode_word(std::string_view word, std::vector<std::int64_t>& ids);
  void encode_tokens(std::string_view document, std::vector<std::int64_t>& ids);

  std::shared_ptr<const Shared> shared_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Tokens tokens_;
  std::int64_t replaced_ = 0;
};

}  // namespace compat
