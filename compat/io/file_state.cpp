#include "compat/io/file_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "compat/base/concat.h"

namespace compat {
namespace {

/// The steps of file systems' clocks are at most two seconds (FAT). The usual ones have
/// milliseconds.
constexpr std::uint64_t kSettledNs = 2'000'000'000;

/// Wraps around for times after the year 2262.
std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
                                   static_cast<std::uint64_t>(time.tv_nsec));
}

}  // namespace

FileState FileState::of(const struct stat& status) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {status.st_dev,
          status.st_ino,
          static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim),
          std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()};
}

std::optional<FileState> FileState::of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return of(status);
}

bool FileState::is_same_as(const FileState& other) const noexcept {
  return device == other.device && inode == other.inode && size == other.size &&
         modified_ns == other.modified_ns && changed_ns == other.changed_ns;
}

bool FileState::is_settled() const noexcept {
  const std::int64_t last = std::max(modified_ns, changed_ns);
  return last <= seen_ns &&
         static_cast<std::uint64_t>(seen_ns) - static_cast<std::uint64_t>(last) >= kSettledNs;
}

std::string FileState::to_text() const {
  std::string text;
  for (const std::uint64_t number : {device, inode, size}) text += concat(number, ' ');
  return concat(text, modified_ns, ' ', changed_ns);
}

}  // namespace compat
