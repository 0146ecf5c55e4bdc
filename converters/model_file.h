// Opens any file or folder of tensors, as a model when it is one. For inspect and verify.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"

namespace converters {

struct ModelFile {
  std::string kind;  ///< "checkpoint", "demix checkpoint", "demix shared part", "torch file",
                     ///< "safetensors file", "hugging face folder"
  std::vector<std::string> files;
  std::string layout;                            ///< As Checkpoint::format.
  std::optional<compat::Checkpoint> checkpoint;  ///< Only when btm can read it as a model.
  std::string why_not;                           ///< Why btm cannot read it as a model.
  bool is_damaged = false;                       ///< Whether `why_not` reports damage.
  compat::PickleTree tree;       ///< The content of a torch file. Its root is null for other files.
  compat::NamedTensors tensors;  ///< Only for safetensors files and Hugging Face folders.
  bool lacks_checksums = false;  ///< A torch file whose damaged numbers cannot be detected.
};

/// Whether the name or the first bytes of a file are those of a torch file, a safetensors file, or
/// a Git LFS pointer.
bool looks_like_model_file(const std::filesystem::path& path);

/// Opens a torch file (a checkpoint, a DeMIX half, a state dict, any other file of torch.save), a
/// safetensors file or a Hugging Face folder. FormatError, UnsupportedError or IoError when it is
/// damaged or cannot be read. This includes a checkpoint with a damaged configuration or without
/// its other half.
ModelFile open_model_file(const std::filesystem::path& path);

/// Calls `visit` for every tensor in file order, with the node that holds it (null outside torch
/// files).
void for_each_tensor(
    const ModelFile& file,
    const std::function<void(const std::string& name, const compat::PickleNode* node,
                             const compat::TensorView& view)>& visit);

}  // namespace converters
