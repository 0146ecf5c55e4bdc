// A lock between processes, on a file of its own.
#pragma once

#include <filesystem>
#include <optional>

namespace compat {

/// Held by one process and by the children it starts meanwhile: when it is killed, the lock is free
/// only once they have ended too. The file is created if need be and stays. IoError when it cannot
/// be opened or locked.
class FileLock {
 public:
  /// Waits as long as another holds it.
  static FileLock wait(const std::filesystem::path& file);
  /// Nothing when another holds it.
  static std::optional<FileLock> try_now(const std::filesystem::path& file);
  /// IoError "is in use by another process" when another holds it.
  static FileLock now(const std::filesystem::path& file);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(const std::filesystem::path& file);  ///< Opens the file only.
  /// Of flock(): 0, or errno.
  int lock(int operation) const noexcept;

  int descriptor_;
};

}  // namespace compat
