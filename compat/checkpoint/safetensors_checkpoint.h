// Reads a safetensors file or a Hugging Face folder as fairseq's checkpoint. See
// compat/huggingface/safetensors.md
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "compat/io/mapped_file.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// Keys of a safetensors file's metadata whose values are fairseq's configuration as JSON. The
/// dictionary's digest is under kDictionaryKey.
inline constexpr const char* kCfgMetadata = "fairseq_cfg";
inline constexpr const char* kArgsMetadata = "fairseq_args";

/// The metadata of a safetensors file for the checkpoint with the dict `root`: `cfg`, `args` and
/// the dictionary's digest. `file` is for messages.
std::vector<std::pair<std::string, std::string>> checkpoint_metadata(const PickleNode& root,
                                                                     const std::string& file);

/// The inverse of checkpoint_metadata(): {args, cfg, dictionary_sha256} without `model`. args is a
/// Namespace again, cfg a plain dict. `path` is a safetensors file or a folder with
/// model.safetensors. The tree is empty (its root is null) when there is no configuration.
PickleTree stored_configuration(const std::filesystem::path& path);

/// {args, cfg, model} of a Hugging Face folder.
PickleTree hugging_face_checkpoint(const std::filesystem::path& folder);

/// {args, cfg, model} of a safetensors file, with fairseq's names. The configuration comes from the
/// file's metadata, or from the config.json beside it. UnsupportedError when there is neither.
PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file);

}  // namespace compat
