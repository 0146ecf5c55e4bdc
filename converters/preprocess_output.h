// What preprocess writes: a data set, or its text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/io/atomic_file.h"

namespace converters {

/// The documents of a block that belong to one output.
struct EncodedSplit {
  std::vector<std::int64_t> ids;
  std::vector<std::size_t> sizes;
  std::string text;  ///< Only for --dataset-impl raw.
};

/// Writes one output: PREFIX.bin and PREFIX.idx, or the raw text PREFIX.None-None as fairseq names
/// it.
class PreprocessOutput {
 public:
  /// `impl`: mmap, lazy or cached as in --dataset-impl, or raw. Creates the prefix's folder.
  PreprocessOutput(const std::filesystem::path& prefix, const std::string& impl,
                   std::int64_t vocabulary);

  void add(const EncodedSplit& split);
  /// Adds bytes of text as they are; for raw alone.
  void add_bytes(std::string_view bytes);
  bool empty() const noexcept { return sequences_ == 0 && copied_ == 0; }
  void commit();

  std::uint64_t sequences() const noexcept { return sequences_; }
  std::uint64_t tokens() const noexcept { return tokens_; }

 private:
  std::unique_ptr<compat::IndexedDatasetBuilder> builder_;
  std::unique_ptr<compat::AtomicFile> text_;
  std::uint64_t sequences_ = 0, tokens_ = 0, copied_ = 0;
};

/// The names of an output's files.
std::vector<std::string> files_of_output(const std::string& prefix, const std::string& impl);

}  // namespace converters
