// Reader for fairseq's data-bin: mmap (MMIDIDX), cached and lazy (TNTIDX), raw text, huffman; and
// for our zst. Layouts: compat/fairseq/indexed_dataset.md, compat/fairseq/zst_dataset.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "compat/io/mapped_file.h"

namespace compat {

enum class DatasetImpl {
  kMmap,
  kLegacy,
  kRaw,
  kHuffman,
  kZst
};  ///< kLegacy: 'cached' and 'lazy' have one layout.

/// "mmap", "lazy", "raw", "huffman": fairseq's --dataset-impl; "zst".
std::string_view impl_name(DatasetImpl impl) noexcept;

class IndexedDataset {
 public:
  /// Opens PREFIX.idx/.bin by its magic, or PREFIX / PREFIX.LANG-LANG as raw text (which needs
  /// `dictionary`; null refuses). The index is checked whole: counts, sizes and pointers against
  /// both files. Token ids are checked against a dictionary by the caller (max_token), not here.
  /// FormatError / IoError; a prefix given with .idx or .bin is accepted.
  static std::unique_ptr<IndexedDataset> open(const std::filesystem::path& prefix,
                                              const Dictionary* dictionary = nullptr);
  /// The same of an index and its tokens already mapped (or in memory: tests, fuzzers). All but
  /// huffman and raw text.
  static std::unique_ptr<IndexedDataset> open(std::shared_ptr<const MappedFile> index,
                                              std::shared_ptr<const MappedFile> tokens);
  /// Whether open() would find something to try at `prefix`.
  static bool exists(const std::filesystem::path& prefix);

  virtual ~IndexedDataset() = default;

  virtual DatasetImpl impl() const noexcept = 0;
  /// torch's name of the element type on disk: "int32", "uint16", ...; raw: "text".
  virtual std::string_view dtype() const noexcept = 0;
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(sizes_.size()); }
  /// Tokens of each sequence, the eos included when the file holds one.
  std::span<const std::int32_t> sizes() const noexcept { return sizes_; }
  std::int64_t total_tokens() const noexcept { return total_tokens_; }
  /// Writes tokens [from, from + out.size()) of sequence `i` to `out`; within the sequence is the
  /// caller's contract. Thread safe.
  virtual void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const = 0;
  std::vector<std::int64_t> sequence(std::int64_t i) const;
  /// The file that holds the tokens, for messages.
  virtual const std::string& path() const noexcept = 0;

 protected:
  std::vector<std::int32_t> sizes_;
  std::int64_t total_tokens_ = 0;
};

/// Reads every token once. FormatError naming the sequence and place of the first id that is not in
/// the dictionary.
void check_token_ids(const IndexedDataset& dataset, const Dictionary& dictionary);

}  // namespace compat
