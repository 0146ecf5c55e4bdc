// The files of a score cache (btm/ensemble/score_cache.h). This file needs no LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace btm {

enum class CacheKind : std::uint8_t { kScores, kDigest, kTemporary };

struct CachedFile {
  std::filesystem::path path;
  CacheKind kind = CacheKind::kScores;
  std::uint64_t bytes = 0;
  std::filesystem::file_time_type used;
};

/// The files in `folder` that are a cache's, in no order. A folder that is not there holds none;
/// files that go away meanwhile are left out.
std::vector<CachedFile> cached_files(const std::filesystem::path& folder);

/// Removes those of the files that begin as btm writes them, and the folders in `folder` that are
/// empty then. Returns the bytes freed.
/// IoError for the first file that cannot be removed.
std::uint64_t remove_cached(const std::filesystem::path& folder,
                            const std::vector<CachedFile>& files);

}  // namespace btm
