// Reader for fairseq's data-bin, mmap (MMIDIDX), cached and lazy (TNTIDX), raw text and huffman,
// and for this project's zst. Layouts: compat/fairseq/indexed_dataset.md,
// compat/fairseq/zst_dataset.md
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
};  ///< kLegacy is the layout of both 'cached' and 'lazy'.

/// The name for fairseq's --dataset-impl: "mmap", "lazy", "raw" or "huffman". Also "zst".
std::string_view impl_name(DatasetImpl impl) noexcept;

class IndexedDataset {
 public:
  /// Opens PREFIX.idx and PREFIX.bin by the magic, or PREFIX or PREFIX.LANG-LANG as raw text. Raw
  /// text needs `dictionary`; null is refused. A prefix with .idx or .bin is accepted. All counts,
  /// sizes and pointers of the index are checked against both files. Token ids are not checked: the
  /// caller calls check_token_ids(). FormatError or IoError.
  static std::unique_ptr<IndexedDataset> open(const std::filesystem::path& prefix,
                                              const Dictionary* dictionary = nullptr);
  /// The same for an index and tokens that are mapped or in memory, for tests and fuzzers. Not for
  /// huffman and raw text.
  static std::unique_ptr<IndexedDataset> open(std::shared_ptr<const MappedFile> index,
                                              std::shared_ptr<const MappedFile> tokens);
  /// Whether the files that open() needs exist at `prefix`.
  static bool exists(const std::filesystem::path& prefix);

  virtual ~IndexedDataset() = default;

  virtual DatasetImpl impl() const noexcept = 0;
  /// torch's name of the element type on disk ("int32", "uint16", ...), or "text" for raw text.
  virtual std::string_view dtype() const noexcept = 0;
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(sizes_.size()); }
  /// Number of tokens of each sequence, including an eos that the file holds.
  std::span<const std::int32_t> sizes() const noexcept { return sizes_; }
  std::int64_t total_tokens() const noexcept { return total_tokens_; }
  /// Writes tokens [from, from + out.size()) of sequence `i` to `out`. The caller ensures that they
  /// lie within the sequence. Thread safe.
  virtual void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const = 0;
  std::vector<std::int64_t> sequence(std::int64_t i) const;
  /// The file with the tokens, for messages.
  virtual const std::string& path() const noexcept = 0;

 protected:
  std::vector<std::int32_t> sizes_;
  std::int64_t total_tokens_ = 0;
};

/// Reads every token once. FormatError for the first id that the dictionary lacks, with its
/// sequence and position.
void check_token_ids(const IndexedDataset& dataset, const Dictionary& dictionary);

}  // namespace compat
