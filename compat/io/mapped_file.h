// A file mapped read-only. POSIX is kept inside mapped_file.cpp.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "compat/io/file_state.h"

namespace compat {

class MappedFile {
 public:
  /// Maps a regular file. IoError for what is missing or is none (a FIFO is never waited for),
  /// FormatError for a Git LFS pointer. A file that another process shortens while it is mapped
  /// ends this process with SIGBUS, as every mmap reader.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  /// Bytes already in memory under a name, for readers that take a mapped file. `owner` keeps them
  /// alive (may be null).
  static std::shared_ptr<const MappedFile> of_memory(std::string name,
                                                     std::span<const std::byte> bytes,
                                                     std::shared_ptr<const void> owner = {});

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  bool is_mapped() const noexcept { return mapped_; }  ///< False for of_memory() and an empty file.
  /// The state that the file had when it was opened. All zero for of_memory().
  const FileState& state() const noexcept { return state_; }

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, bool mapped,
             std::shared_ptr<const void> owner);
  std::string path_;
  std::span<const std::byte> bytes_;
  bool mapped_;
  FileState state_;
  std::shared_ptr<const void> owner_;
};

/// Drops the resident pages that lie wholly inside `bytes`, which must be mapped from a file (of
/// other memory the content would be lost). They come back from the file when touched again.
void drop_pages(std::span<const std::byte> bytes) noexcept;

}  // namespace compat
