// Writers of data-bins, byte-identical to fairseq's for the same ids. Layouts:
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
  /// mmap, legacy or zst, writing PREFIX.bin and PREFIX.idx, which appear at finalize(). `dtype`:
  /// torch's name; "" takes fairseq's choice for `vocab_size` (mmap and zst: uint16 below 65500
  /// words, else uint32; legacy: int32).
  static std::unique_ptr<IndexedDatasetBuilder> create(const std::filesystem::path& prefix,
                                                       DatasetImpl impl, std::int64_t vocab_size,
                                                       std::string_view dtype = {});
  virtual ~IndexedDatasetBuilder() = default;
  /// FormatError when an id does not fit the dtype.
  virtual void add(std::span<const std::int64_t> tokens) = 0;
  /// Writes the index and puts both files in place.
  virtual void finalize() = 0;
};

}  // namespace compat
