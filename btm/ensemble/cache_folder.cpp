#include "btm/ensemble/cache_folder.h"

#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "compat/base/error.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::optional<CacheKind> kind_of(std::string_view name) {
  for (const char* const middle : {".scores.tmp.", ".digest.tmp."})
    if (name.find(middle) != name.npos) return CacheKind::kTemporary;
  if (name.ends_with(".scores")) return CacheKind::kScores;
  if (name.ends_with(".digest")) return CacheKind::kDigest;
  return std::nullopt;
}

/// Whether the file begins as btm writes it, so that nothing else is removed.
bool is_ours(const CachedFile& file) {
  if (file.kind == CacheKind::kTemporary) return true;
  std::string begin(compat::kSha256Digits, 0);
  std::ifstream in(file.path, std::ios::binary);
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  return file.kind == CacheKind::kScores ? begin.starts_with("BTMSCOR")
                                         : compat::is_sha256_hex(begin);
}

}  // namespace

std::vector<CachedFile> cached_files(const fs::path& folder) {
  std::vector<CachedFile> files;
  std::error_code error;  // other runs trim, too
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code gone;
    const auto kind = kind_of(it->path().filename().string());
    if (!kind || !it->is_regular_file(gone)) continue;
    const CachedFile file{it->path(), *kind, it->file_size(gone), it->last_write_time(gone)};
    if (!gone) files.push_back(file);
  }
  return files;
}

std::uint64_t remove_cached(const fs::path& folder, const std::vector<CachedFile>& files) {
  std::uint64_t freed = 0;
  for (const CachedFile& file : files) {
    if (!is_ours(file)) continue;
    std::error_code problem;
    if (fs::remove(file.path, problem)) freed += file.bytes;
    if (problem) throw compat::IoError(file.path.string(), "cannot remove", problem.value());
    if (const fs::path parent = file.path.parent_path(); parent != folder)
      fs::remove(parent, problem);  // only when it is empty
  }
  return freed;
}

}  // namespace btm
