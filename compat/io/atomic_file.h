// Outputs that appear whole or not at all: written to a temporary beside the target, fsynced,
// renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "compat/io/temporaries.h"

namespace compat {

class AtomicFile {
 public:
  /// Opens PATH.tmp.PID.N beside `path`. IoError when the folder is missing or cannot be written,
  /// and when `path` is there but not a regular file (a directory, /dev/full).
  explicit AtomicFile(const std::filesystem::path& path);

  /// Removes the temporary unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes already written (a header known only at the end).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Appends the whole of another file, inside the kernel: as shared blocks where the file system
  /// can do that.
  void write_file(const std::filesystem::path& source);
  std::uint64_t size() const noexcept { return size_; }

  /// Flushes, fsyncs file and folder, renames over `path`. IoError (a full disk, say) leaves `path`
  /// as it was.
  void commit();

 private:
  void flush();
  std::filesystem::path path_, temporary_;
  std::optional<TemporaryNote> note_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::string buffer_;
};

/// For the start of long work: IoError for a file that AtomicFile would refuse.
void check_can_write(const std::filesystem::path& file);

/// The same for a folder that may have to be made: IoError when it cannot be, or when no file can
/// be made in it.
void check_can_write_in(const std::filesystem::path& folder);

/// Renames a whole file over another, durably. IoError leaves both as they were.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// Writes a small file in one call.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

void copy_file_atomically(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace compat
