// A document's symbols as fairseq-preprocess sees them: counted for a dictionary, or turned into
// its ids.
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

/// Counts the symbols of documents. One object a thread.
class SymbolCounter {
 public:
  /// `tokenizer` (null: documents are words between white space) stays the caller's; it is cloned.
  /// `end_of_document` is counted once a document unless it is "".
  SymbolCounter(const Tokenizer* tokenizer, const std::string& end_of_document);
  void count(std::string_view document);
  std::int64_t documents() const noexcept { return documents_; }
  /// Adds the counts and one </s> a document to `dictionary`, as fairseq's add_file_to_dictionary.
  void add_to(Dictionary& dictionary) const;

 private:
  void count_word(std::string_view word, std::int64_t times);

  std::unique_ptr<Tokenizer> tokenizer_;
  Tokens tokens_;
  std::vector<std::int64_t> by_id_;  ///< Of the tokenizer's ids.
  WordMap<std::int64_t> by_word_;
  std::int64_t documents_ = 0;
  std::string end_of_document_;
};

/// Turns documents into ids of a dictionary, or into the text of their symbols. clone() for each
/// thread.
class DocumentEncoder {
 public:
  /// `end_of_document`: a symbol behind each document's own, or "". UsageError when the dictionary
  /// lacks it.
  DocumentEncoder(const Dictionary& dictionary, const Tokenizer* tokenizer,
                  const std::string& end_of_document);
  DocumentEncoder clone() const;

  /// Appends the ids of the document and </s>.
  void encode(std::string_view document, std::vector<std::int64_t>& ids);
  /// Appends the symbols, a space between two, and a line end.
  void append_symbols(std::string_view document, std::string& text);

  /// Words that the dictionary lacks, in all documents so far (<unk> itself is none of them).
  std::int64_t replaced() const noexcept { return replaced_; }

 private:
  struct Shared {
    WordMap<std::int32_t> ids;  ///< Of the dictionary's symbols.
    std::vector<std::int32_t>
        of_token;  ///< Dictionary id of each token id; kByText: by the words of its text.
    std::string end_of_document;
    std::int32_t unk = 0, eos = 0;
    std::string unk_symbol;
    std::unique_ptr<Tokenizer> tokenizer;  ///< What clones are made from.
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
