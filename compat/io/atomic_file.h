// Output files that appear whole or not at all. A file is written to a temporary beside its target,
// synced and renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "compat/io/temporaries.h"

namespace compat {

class AtomicFile {
 public:
  /// Opens PATH.tmp.PID.N beside `path`. IoError when the folder is missing or not writable, or
  /// when `path` exists and is no regular file (a directory, /dev/full).
  explicit AtomicFile(const std::filesystem::path& path);

  /// Removes the temporary unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes that are already written, for a header that is known only at the end.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Appends a whole file. The kernel copies it, and shares its blocks where the file system can do
  /// that.
  void write_file(const std::filesystem::path& source);
  std::uint64_t size() const noexcept { return size_; }

  /// Flushes, syncs file and folder, and renames to `path`. On IoError (a full disk, for example)
  /// `path` is unchanged.
  void commit();

 private:
  void flush();
  std::filesystem::path path_, temporary_;
  std::optional<TemporaryNote> note_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::string buffer_;
};

/// IoError when AtomicFile would refuse `path`. To be called before long work.
void check_can_write(const std::filesystem::path& file);

/// The same for a result: IoError also where `file` is there already, unless `overwrite`. The rule
/// of all commands, but for outputs that an interrupted command goes on with.
void check_new_output(const std::filesystem::path& file, bool overwrite);

/// The same for a folder, which need not exist yet. IoError when it cannot be created, or when no
/// file can be created in it.
void check_can_write_in(const std::filesystem::path& folder);
/// The same for results of these names in the folder, as check_new_output().
void check_new_outputs(const std::filesystem::path& folder,
                       std::initializer_list<const char*> names, bool overwrite);

/// Renames a whole file to another name and syncs both. On IoError both files are unchanged.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// Writes a small file in one call.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

void copy_file_atomically(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace compat
