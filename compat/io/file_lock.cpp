#include "compat/io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "compat/base/error.h"

namespace compat {
namespace {

int flags_of(const std::filesystem::path& file) {
  std::error_code none;
  return std::filesystem::is_directory(file, none) ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT;
}

}  // namespace

// O_CLOEXEC is not set: children inherit the descriptor, and the lock with it.
FileLock::FileLock(const std::filesystem::path& file)
    : descriptor_(::open(file.c_str(), flags_of(file), 0666)) {
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

void FileLock::sign(std::string_view holder) const noexcept {
  if (::ftruncate(descriptor_, 0) != 0) return;
  [[maybe_unused]] const ssize_t written =
      ::pwrite(descriptor_, holder.data(), holder.size(), /*offset=*/0);
}

std::string FileLock::signature_of(const std::filesystem::path& file) {
  constexpr std::size_t kMost = 200;
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return {};
  std::string text(kMost, '\0');
  const ssize_t read = ::read(descriptor, text.data(), text.size());
  ::close(descriptor);
  text.resize(read < 0 ? 0 : static_cast<std::size_t>(read));
  return text;
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
