#include "compat/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/mapped_file.h"

namespace compat {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> serial{0};
  return concat(path.string(), ".tmp.", ::getpid(), '.', serial++);
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);  // Errors are ignored: some file systems cannot sync a folder.
  ::close(fd);
}

void write_all(int fd, std::uint64_t offset, std::span<const std::byte> bytes,
               const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw IoError(name, "cannot write", written < 0 ? errno : ENOSPC);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path)
    : path_(path), temporary_(temporary_beside(path)) {
  // The rename would replace a device or a FIFO by a file.
  if (const auto status = std::filesystem::status(path);
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw IoError(path.string(),
                  std::string("is ") +
                      (std::filesystem::is_directory(status) ? "a directory" : "a device or FIFO") +
                      ", expected a file to write");
  note_.emplace(temporary_);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) throw IoError(path.string(), "cannot create", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() >= kBufferBytes)
    write_all(fd_, size_, bytes, path_.string());
  else
    buffer_ += as_chars(bytes);
  size_ += bytes.size();
}

void AtomicFile::write(std::string_view text) { write(as_byte_span(text)); }

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  flush();
  write_all(fd_, offset, bytes, path_.string());
}

void AtomicFile::write_file(const std::filesystem::path& source) {
  const auto file = MappedFile::open(
      source);  // refuses other than regular files; also the fallback where the kernel cannot copy
  flush();
  const int from = ::open(source.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) throw IoError(source.string(), "cannot open", errno);
  const std::uint64_t end = size_ + file->bytes().size();
  off_t in = 0, out = static_cast<off_t>(size_);
  while (size_ < end) {
    const ssize_t copied = ::copy_file_range(from, &in, fd_, &out, end - size_, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;
    size_ += static_cast<std::uint64_t>(copied);
  }
  ::close(from);
  write(file->bytes().subspan(static_cast<std::size_t>(in)));
}

void AtomicFile::flush() {
  write_all(fd_, size_ - buffer_.size(), as_byte_span(buffer_), path_.string());
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  if (::fsync(fd_) != 0) throw IoError(path_.string(), "cannot write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw IoError(path_.string(), "cannot replace", errno);
  ::close(fd_);
  fd_ = -1;
  note_.reset();
  sync_folder(path_.parent_path());
}

void check_can_write(const std::filesystem::path& file) { const AtomicFile probe(file); }

void check_new_output(const std::filesystem::path& file, bool overwrite) {
  std::error_code missing;
  if (!overwrite && std::filesystem::is_regular_file(file, missing))
    throw IoError(file.string(), "is there already (--overwrite replaces it)");
  check_can_write(file);
}

void check_can_write_in(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::path there = std::filesystem::absolute(folder);
  while (!std::filesystem::exists(there, error) && there.has_relative_path())
    there = there.parent_path();
  if (!std::filesystem::is_directory(there, error))
    throw IoError(there.string(), "is not a folder, expected one to write in");
  if (::access(there.c_str(), W_OK | X_OK) != 0)
    throw IoError(folder.string(), "cannot create", errno);
}

void check_new_outputs(const std::filesystem::path& folder,
                       std::initializer_list<const char*> names, bool overwrite) {
  check_can_write_in(folder);
  std::error_code missing;
  if (!std::filesystem::exists(folder, missing)) return;
  for (const char* const name : names) check_new_output(folder / name, overwrite);
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw IoError(to.string(), "cannot replace", errno);
  sync_folder(to.parent_path());
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void copy_file_atomically(const std::filesystem::path& source,
                          const std::filesystem::path& target) {
  AtomicFile file(target);
  file.write_file(source);
  file.commit();
}

}  // namespace compat
