// Reads the tensors of a Hugging Face folder, from one file or several.
#pragma once

#include <filesystem>

#include "compat/torch/named_tensors.h"

namespace compat {

/// Whether `path` is a folder with a config.json and either weights beside it or a model_type in
/// it.
bool is_hugging_face_folder(const std::filesystem::path& path);

/// The tensors of model.safetensors, or of the files that model.safetensors.index.json names;
/// without these, the same for pytorch_model.bin. When several files hold a tensor, weight_map
/// chooses. FormatError when weight_map does not list such a tensor, or names a file without it.
/// IoError when none of the files exists.
NamedTensors hugging_face_tensors(const std::filesystem::path& folder);

}  // namespace compat
