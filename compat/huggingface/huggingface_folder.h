// The tensors of a Hugging Face folder, from one file or several.
#pragma once

#include <filesystem>

#include "compat/torch/named_tensors.h"

namespace compat {

/// Whether `path` is a folder with a config.json that has weights beside it or names a model_type.
bool is_hugging_face_folder(const std::filesystem::path& path);

/// The tensors of model.safetensors, else of the files that model.safetensors.index.json names,
/// else the same of pytorch_model.bin. Of a tensor that several files hold, the file that
/// weight_map names counts. FormatError where weight_map does not say it, or names a file without
/// the tensor; IoError when none of the files is there.
NamedTensors hugging_face_tensors(const std::filesystem::path& folder);

}  // namespace compat
