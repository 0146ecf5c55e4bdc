// A file that is mapped read-only. Only mapped_file.cpp calls POSIX.
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
  /// Maps a regular file. IoError when it is missing or no regular file (the call never waits for a
  /// FIFO's writer). FormatError for a Git LFS pointer. When another process shortens the file,
  /// reading the lost part raises SIGBUS (see lost_files.h).
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  /// Wraps bytes in memory, for readers that take a mapped file. `owner` keeps the bytes alive and
  /// may be null.
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

/// Asks the system to read a file into memory that it can spare, and waits until it has asked for
/// all of it. No error: what is missing is read when it is needed.
void read_ahead(const std::filesystem::path& path) noexcept;

/// Drops the resident pages that lie wholly inside `bytes`. The kernel reads them from the file
/// again at the next access. `bytes` must be mapped from a file: other memory would lose its
/// content.
void drop_pages(std::span<const std::byte> bytes) noexcept;

}  // namespace compat
