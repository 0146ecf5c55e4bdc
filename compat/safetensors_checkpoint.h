// A safetensors file, or a Hugging Face folder, seen as fairseq's checkpoint. See compat/safetensors.md
#pragma once

#include <filesystem>

#include "compat/mapped_file.h"
#include "compat/pickle_value.h"

namespace compat {

/// Keys of a safetensors file's metadata that hold a fairseq configuration as JSON.
inline constexpr const char* kCfgMetadata = "fairseq_cfg";
inline constexpr const char* kArgsMetadata = "fairseq_args";

/// {args, cfg, model} of a folder of Hugging Face's.
PickleTree hugging_face_checkpoint(const std::filesystem::path& folder);

/// The same of a safetensors file: under fairseq's names with the configuration in its metadata, else with the config.json
/// beside it.
PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file);

}  // namespace compat
