// How metaseq names the files of one model: STEM-model_part-N.pt for the parts of model
// parallelism, STEM-shardM.pt for the shards of FSDP, STEM-model_part-N-shardM.pt for both.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace compat {

struct MetaseqName {
  std::string stem;  ///< "reshard", "checkpoint_last"
  std::optional<std::size_t> part, shard;
};

/// The parts of a file's name; nothing for a name with neither a part nor a shard.
std::optional<MetaseqName> metaseq_name(const std::filesystem::path& path);

/// A file of a model in several files.
struct MetaseqFile {
  std::filesystem::path path;
  std::size_t part = 0, shard = 0;
};

/// All files of the model that `path` is one file of, in the order of parts and then of shards.
/// `path` may also be STEM.pt, which need not exist. Empty where no file of such a name lies there.
/// FormatError where a part or shard is missing.
std::vector<MetaseqFile> metaseq_files(const std::filesystem::path& path);

/// The stems of such files in a folder, sorted.
std::vector<std::string> metaseq_stems_in(const std::filesystem::path& folder);

}  // namespace compat
