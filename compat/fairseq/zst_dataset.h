// The 'zst' data-bin: ids in checksummed zstd frames that are read one by one. Ours. Layout:
// compat/fairseq/zst_dataset.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"

namespace compat {

/// Opens an index and its frames. The index is checked whole (CRC, sizes, frame ends); a damaged
/// frame is found when it is read. Reads are thread safe and keep the last few decoded frames (some
/// MB).
std::unique_ptr<IndexedDataset> open_zst_dataset(std::shared_ptr<const MappedFile> index,
                                                 std::shared_ptr<const MappedFile> tokens);

struct ZstOptions {
  std::int64_t level = 9;  ///< zstd's, 1 to 19.
  std::int64_t frame_tokens =
      1 << 14;  ///< Tokens of a frame, 1 to 2^20: what reading one token decodes.
};

/// As IndexedDatasetBuilder::create.
std::unique_ptr<IndexedDatasetBuilder> create_zst_builder(const std::filesystem::path& prefix,
                                                          std::int64_t vocab_size,
                                                          std::string_view dtype = {},
                                                          const ZstOptions& options = {});

}  // namespace compat
