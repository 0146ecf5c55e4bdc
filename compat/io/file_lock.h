// A lock between processes, on a file that serves only as the lock.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace compat {

/// A lock that this process and the children that it starts meanwhile hold together. When this
/// process is killed, the lock is free only after those children end. The file is created when it
/// is missing, and it stays. A folder can be the lock too: then nothing is created. IoError when it
/// cannot be opened or locked.
class FileLock {
 public:
  /// Waits while another process holds the lock.
  static FileLock wait(const std::filesystem::path& file);
  /// An empty optional when another process holds the lock.
  static std::optional<FileLock> try_now(const std::filesystem::path& file);
  /// IoError "is in use by another process" when another process holds the lock.
  static FileLock now(const std::filesystem::path& file);

  /// Writes who holds the lock into its file, for signature_of(); errors are ignored.
  void sign(std::string_view holder) const noexcept;
  /// What the last holder wrote, at most 200 bytes; "" for nothing.
  static std::string signature_of(const std::filesystem::path& file);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(const std::filesystem::path& file);  ///< Opens the file without locking it.
  /// The result of flock(): 0, or errno.
  int lock(int operation) const noexcept;

  int descriptor_;
};

}  // namespace compat
