// This project's 'zst' data-bin: ids in zstd frames with checksums, which are read one by one.
// Layout: compat/fairseq/zst_dataset.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"

namespace compat {

/// Opens an index and its frames. The whole index is checked: CRC, sizes, ends of frames. A damaged
/// frame is a FormatError when it is read. Reads are thread safe and keep the last few decoded
/// frames (some MB).
std::unique_ptr<IndexedDataset> open_zst_dataset(std::shared_ptr<const MappedFile> index,
                                                 std::shared_ptr<const MappedFile> tokens);

struct ZstOptions {
  std::int64_t level = 9;  ///< zstd's compression level, 1 to 19.
  std::int64_t frame_tokens =
      1 << 14;  ///< Tokens per frame, 1 to 2^20. Reading one token decodes one frame.
};

/// Parameters as for IndexedDatasetBuilder::create.
std::unique_ptr<IndexedDatasetBuilder> create_zst_builder(const std::filesystem::path& prefix,
                                                          std::int64_t vocab_size,
                                                          std::string_view dtype = {},
                                                          const ZstOptions& options = {});

}  // namespace compat
