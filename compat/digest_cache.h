// SHA-256 of files without reading again what has not changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace compat {

/// SHA-256 of files, remembered by size, time of change and inode so that what did not change is not read again.
class DigestCache {
 public:
  explicit DigestCache(std::filesystem::path file);
  /// IoError when the file cannot be read.
  std::string of(const std::filesystem::path& path);
  /// Keeps what was learned. Failing to is no error: it is only slower next time.
  void save() const;

 private:
  struct Entry {
    std::uint64_t size = 0, inode = 0;
    std::int64_t changed_ns = 0;
    std::string sha256;
    bool operator==(const Entry&) const = default;
  };
  std::filesystem::path file_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace compat
