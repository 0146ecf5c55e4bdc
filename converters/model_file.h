// Any file or folder of tensors, read as a model where it is one: for those who look and check.
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
  std::optional<compat::Checkpoint> checkpoint;  ///< Of what btm reads as a model.
  std::string why_not;                           ///< Why it does not read the rest.
  bool is_damaged = false;                       ///< Whether `why_not` tells of damage.
  compat::PickleTree tree;       ///< What a torch file holds; root null for the others.
  compat::NamedTensors tensors;  ///< Of safetensors files and Hugging Face folders.
  bool lacks_checksums = false;  ///< Of a torch file: damage to its numbers cannot be found.
};

/// Whether the file's first bytes or its name are those of a torch or safetensors file, or of the
/// pointer to one.
bool looks_like_model_file(const std::filesystem::path& path);

/// Opens a torch file (a whole checkpoint, a DeMIX half, a state dict, whatever else torch.save
/// wrote), a safetensors file or a Hugging Face folder. FormatError, UnsupportedError, IoError for
/// what is damaged or cannot be read. A checkpoint whose configuration is damaged, or whose other
/// half is missing, is an error too.
ModelFile open_model_file(const std::filesystem::path& path);

/// Every tensor, in the order of the file, with the node that holds it (null outside torch files).
void for_each_tensor(
    const ModelFile& file,
    const std::function<void(const std::string& name, const compat::PickleNode* node,
                             const compat::TensorView& view)>& visit);

}  // namespace converters
