// A safetensors file, or a Hugging Face folder, seen as fairseq's checkpoint. See
// compat/huggingface/safetensors.md
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "compat/io/mapped_file.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// Keys of a safetensors file's metadata that hold a fairseq configuration as JSON. The
/// dictionary's digest is under kDictionaryKey.
inline constexpr const char* kCfgMetadata = "fairseq_cfg";
inline constexpr const char* kArgsMetadata = "fairseq_args";

/// What a safetensors file keeps of a checkpoint's dict `root` beside its tensors: `cfg`, `args`,
/// the dictionary's digest. `file` is for messages.
std::vector<std::pair<std::string, std::string>> checkpoint_metadata(const PickleNode& root,
                                                                     const std::string& file);

/// The way back, {args, cfg, dictionary_sha256} without `model`: a Namespace is one again, cfg a
/// plain dict. `path` is a safetensors file or a folder with a model.safetensors; the tree is empty
/// (root null) where it keeps no configuration.
PickleTree kept_configuration(const std::filesystem::path& path);

/// {args, cfg, model} of a folder of Hugging Face's.
PickleTree hugging_face_checkpoint(const std::filesystem::path& folder);

/// The same of a safetensors file: under fairseq's names with the configuration in its metadata,
/// else with the config.json beside it (UnsupportedError where there is none).
PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file);

}  // namespace compat
