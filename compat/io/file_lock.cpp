#include "compat/io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "compat/base/error.h"

namespace compat {

// O_CLOEXEC is not set: children inherit the descriptor, and the lock with it.
FileLock::FileLock(const std::filesystem::path& file)
    : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT, 0666)) {
  if (descriptor_ < 0) throw IoError(file.string(), "open", errno);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int FileLock::lock(int operation) const noexcept {
  while (::flock(descriptor_, operation) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

FileLock FileLock::wait(const std::filesystem::path& file) {
  FileLock held(file);
  if (const int error = held.lock(LOCK_EX); error != 0) throw IoError(file.string(), "lock", error);
  return held;
}

std::optional<FileLock> FileLock::try_now(const std::filesystem::path& file) {
  FileLock held(file);
  const int error = held.lock(LOCK_EX | LOCK_NB);
  if (error == 0) return held;
  if (error == EWOULDBLOCK) return std::nullopt;
  throw IoError(file.string(), "lock", error);
}

FileLock FileLock::now(const std::filesystem::path& file) {
  if (auto held = try_now(file)) return *std::move(held);
  throw IoError(file.string(), "is in use by another process");
}

}  // namespace compat
