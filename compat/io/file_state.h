// By what a file is known to be unchanged without being read again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

struct stat;

namespace compat {

/// Device, inode, size and both times of change of a file, at one moment. A write, a replacement
/// and a time that was set back all show in it, but for changes within the clock's step of one
/// another: see is_settled().
struct FileState {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;  ///< mtime and ctime
  std::int64_t seen_ns = 0;                      ///< The moment, since 1970.

  static FileState of(const struct stat& status);
  /// Of the file that `path` names now; nothing when there is none.
  static std::optional<FileState> of(const std::filesystem::path& path);

  /// Whether all is equal but the moment.
  bool is_like(const FileState& other) const noexcept;
  /// Whether the last change was old enough at that moment that any later one has another time.
  bool is_settled() const noexcept;
  /// Whether nothing was changed between this moment and that of `later`: equal states, this one
  /// settled.
  bool is_still(const FileState& later) const noexcept { return is_settled() && is_like(later); }
  /// The numbers but the moment, apart by spaces.
  std::string to_text() const;
};

}  // namespace compat
