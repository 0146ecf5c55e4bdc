// How DeMIX names the files of a model: STEM-rank-N.pt for every rank, STEM-shared.pt beside them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace compat {

struct ShardName {
  std::string stem;  ///< "checkpoint_last"
  std::size_t rank = 0;
};

/// The parts of a rank's file name; nothing for another name.
std::optional<ShardName> shard_name(const std::filesystem::path& path);

}  // namespace compat
