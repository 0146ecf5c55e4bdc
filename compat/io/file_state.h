// The state of a file by which a change is noticed without reading the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

struct stat;

namespace compat {

/// Device, inode, size and both times of change of a file at one moment. They show every write,
/// every replacement and a time that was set back. Two changes within one step of the file system's
/// clock can look alike: see is_settled().
struct FileState {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;  ///< mtime and ctime
  std::int64_t seen_ns = 0;                      ///< The moment of this state, since 1970.

  static FileState of(const struct stat& status);
  /// The state of the file at `path`. An empty optional when there is none.
  static std::optional<FileState> of(const std::filesystem::path& path);

  /// Whether all members but the moment are equal.
  bool is_same_as(const FileState& other) const noexcept;
  /// Whether the last change was so long before the moment that a later change must show another
  /// time.
  bool is_settled() const noexcept;
  /// Whether the file is unchanged between this moment and that of `later`: the states are equal
  /// and this one is settled.
  bool is_unchanged_until(const FileState& later) const noexcept {
    return is_settled() && is_same_as(later);
  }
  /// All numbers but the moment, separated by spaces.
  std::string to_text() const;
};

}  // namespace compat
