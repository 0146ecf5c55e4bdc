// The documents of a corpus in one of three forms: lines of text, JSON lines, a data-bin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "btm/cluster/terms.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/io/mapped_file.h"

namespace btm {

/// Tokens of a data-bin as text.
class TokenText {
 public:
  /// `post_process`: "none" or "" keeps the pieces apart; "sentencepiece" and "subword_nmt" ("@@ ")
  /// join them to words; "auto" does what the dictionary's symbols ask for. A file's name that ends
  /// with ".json" is GPT-2's encoder.json, whose ids the symbols are. UsageError for others, and
  /// for "auto" with ids of GPT-2, whose words a dictionary does not tell. FormatError for a json
  /// that is no such file.
  TokenText(const compat::Dictionary& dictionary, const std::string& post_process);
  bool joins() const noexcept { return join_ != Join::kNot; }

  /// Appends a token. White space in `text` marks the ends of words. Leaves out special symbols.
  void append(std::int64_t token, std::string& text) const;

 private:
  enum class Join { kNot, kSentencepiece, kSubword, kWords, kBytes };
  static Join join_of(const compat::Dictionary& dictionary, const std::string& post_process);
  const compat::Dictionary& dictionary_;
  Join join_;
  std::vector<std::string> bytes_;  ///< With kBytes: of each symbol. Empty for special ones.
};

/// A file with one document per line, a file of JSON Lines (as names_json_lines says) whose objects
/// have a "text", or the prefix of a data-bin, whose sequences are the documents. Text may be
/// compressed by gzip or zstd; it is then held in memory as a whole.
class Corpus {
 public:
  /// IoError and FormatError as in compat. FormatError where there is no document. A data-bin needs
  /// a dict.txt beside it or in the folder above.
  Corpus(const std::filesystem::path& path, const std::string& post_process);

  std::int64_t size() const noexcept;
  std::string text(std::int64_t i) const;
  /// Pieces for a data-bin whose pieces were not joined, otherwise words.
  TermRule rule() const noexcept { return rule_; }

  /// Null unless a data-bin.
  const compat::IndexedDataset* dataset() const noexcept { return dataset_.get(); }
  const compat::Dictionary& dictionary() const noexcept { return dictionary_; }
  const std::filesystem::path& dictionary_file() const noexcept { return dictionary_file_; }
  /// The line of a document in a text file, unchanged.
  std::string_view line(std::int64_t i) const { return lines_[static_cast<std::size_t>(i)]; }

 private:
  void open_data_bin(const std::filesystem::path& prefix);
  void refuse_empty() const;

  std::string path_;
  TermRule rule_ = TermRule::kWords;
  bool json_ = false;
  compat::Dictionary dictionary_;
  std::filesystem::path dictionary_file_;
  std::unique_ptr<compat::IndexedDataset> dataset_;
  std::unique_ptr<TokenText> tokens_;
  std::shared_ptr<const compat::MappedFile> file_;  ///< The text, decompressed.
  std::vector<std::string_view> lines_;
};

}  // namespace btm
