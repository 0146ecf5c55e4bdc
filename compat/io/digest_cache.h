// SHA-256 digests of files. An unchanged file is read only once.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "compat/io/file_state.h"

namespace compat {

/// Remembers SHA-256 digests by a file's size, inode and both times of change, so that an unchanged
/// file is not read again. A file that changed less than two seconds before it was read is read
/// again, because a later change may show the same time.
class DigestCache {
 public:
  /// A cache in memory only.
  DigestCache() = default;
  explicit DigestCache(std::filesystem::path file);
  /// IoError when the file cannot be read, or when it changes while it is read.
  std::string of(const std::filesystem::path& path);
  /// When of() last read the whole file, in UTC ("2026-11-29T07:00:00Z"). "" when it never did.
  std::string read_at(const std::filesystem::path& path) const;
  /// Forgets all digests, so that every file is read again.
  void forget();
  /// Writes the cache to its file. Errors are ignored: the next run is only slower.
  void save() const;

  /// The files that of() was asked for: those that it read, or those whose digests it remembered.
  std::size_t files_read() const noexcept { return count(Use::kRead); }
  std::size_t files_remembered() const noexcept { return count(Use::kRemembered); }

 private:
  enum class Use { kNone, kRemembered, kRead };
  struct Entry {
    FileState state;  ///< The state just before the file was read.
    std::string sha256;
    Use use = Use::kNone;
  };
  std::size_t count(Use use) const noexcept;

  std::filesystem::path file_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace compat
