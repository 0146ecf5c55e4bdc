// Writers of data-bins. For the same ids they write the same bytes as fairseq. Layouts:
// compat/fairseq/indexed_dataset.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "compat/fairseq/indexed_dataset.h"

namespace compat {

class IndexedDatasetBuilder {
 public:
  /// A writer of PREFIX.bin and PREFIX.idx as mmap, legacy or zst. The files appear at finalize().
  /// `dtype` is torch's name. "" takes fairseq's choice for `vocab_size`: for mmap and zst uint16
  /// below 65500 words, else uint32; for legacy int32.
  static std::unique_ptr<IndexedDatasetBuilder> create(const std::filesystem::path& prefix,
                                                       DatasetImpl impl, std::int64_t vocab_size,
                                                       std::string_view dtype = {});
  virtual ~IndexedDatasetBuilder() = default;
  /// Appends a sequence. FormatError when an id does not fit the dtype.
  virtual void add(std::span<const std::int64_t> tokens) = 0;
  /// Writes the index and puts both files in place.
  virtual void finalize() = 0;
};

}  // namespace compat
