// SHA-256 of files without reading again what has not changed.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "compat/io/file_state.h"

namespace compat {

/// SHA-256 of files, remembered by size, inode and both times of change, so that what did not
/// change is not read again. A file that had changed within two seconds before it was read is read
/// once more: it may have changed again unseen.
class DigestCache {
 public:
  /// Keeps nothing beyond this object.
  DigestCache() = default;
  explicit DigestCache(std::filesystem::path file);
  /// IoError when the file cannot be read, or changes while it is.
  std::string of(const std::filesystem::path& path);
  /// UTC, "2026-11-29T07:00:00Z": when of() last read the whole of the file; "" when it never did.
  std::string read_at(const std::filesystem::path& path) const;
  /// Every file is read again when it is next asked for.
  void forget();
  /// Keeps what was learned. Failing to is no error: it is only slower next time.
  void save() const;

  /// Files that of() was asked for: read by this object, or known by size, inode and times alone.
  std::size_t files_read() const noexcept { return count(Use::kRead); }
  std::size_t files_remembered() const noexcept { return count(Use::kRemembered); }

 private:
  enum class Use { kNone, kRemembered, kRead };
  struct Entry {
    FileState state;  ///< Before it was read.
    std::string sha256;
    Use use = Use::kNone;
  };
  std::size_t count(Use use) const noexcept;

  std::filesystem::path file_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace compat
