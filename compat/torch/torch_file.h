// Files of torch.save: the zip layout (torch >= 1.6) and the legacy layout before it. Described in
// compat/torch/torch_file.md
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "compat/io/mapped_file.h"
#include "compat/torch/pickle_value.h"

namespace compat {

enum class TorchLayout { kZip, kLegacy };

struct TorchFile {
  PickleTree tree;  ///< Tensors are PickleTensor nodes. Their storages map the file.
  TorchLayout layout = TorchLayout::kZip;
  std::string path;
  bool has_checksums = false;  ///< False for the legacy layout and for some archives.
};

/// Maps a file and reads its pickle, but not the tensors' bytes: their CRCs are checked at the
/// first access. FormatError for a damaged file, IoError for a missing one.
TorchFile load_torch_file(const std::filesystem::path& path);

/// The same for a mapped file, or for bytes in memory in tests and fuzzers.
TorchFile load_torch_file(std::shared_ptr<const MappedFile> file);

/// The storage, copied, in the bytes of a torch file that holds nothing else. torch writes tensors
/// so into pickles of its user's own. FormatError for other bytes; `where` is for messages.
PickleNode* storage_of_bytes(PickleArena& arena, std::string_view bytes, const Location& where);

/// Writes a file that torch.load reads, atomically. Tensors that share a storage in the tree share
/// it in the file.
void save_torch_file(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout = TorchLayout::kZip);

}  // namespace compat
