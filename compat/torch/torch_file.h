// Files of torch.save: the zip container (torch >= 1.6) and the legacy layout before it. Layout:
// compat/torch/torch_file.md
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "compat/io/mapped_file.h"
#include "compat/torch/pickle_value.h"

namespace compat {

enum class TorchLayout { kZip, kLegacy };

struct TorchFile {
  PickleTree tree;  ///< Tensors are PickleTensor nodes whose storages map the file.
  TorchLayout layout = TorchLayout::kZip;
  std::string path;
  bool has_checksums = false;  ///< The legacy layout has none, an archive may lack them.
};

/// Opens and maps; reads the pickle, touches no tensor bytes (CRCs of storages are checked when
/// they are first read). FormatError for a damaged file, IoError for a missing one.
TorchFile load_torch_file(const std::filesystem::path& path);

/// The same of a file already mapped (or bytes in memory: tests, fuzzers).
TorchFile load_torch_file(std::shared_ptr<const MappedFile> file);

/// Writes what torch.load reads back, atomically. Storages shared in the tree are shared in the
/// file.
void save_torch_file(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout = TorchLayout::kZip);

}  // namespace compat
