#include "compat/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/lost_files.h"

namespace compat {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// The three short lines that git checks out in place of a large file that it has not fetched. The
/// second line names the digest.
bool is_lfs_pointer(std::span<const std::byte> bytes) {
  constexpr std::size_t kLargest = 1024;
  const std::string_view text = as_chars(bytes);
  return text.size() <= kLargest && text.starts_with("version https://git-lfs.github.com/spec/") &&
         text.find("\noid sha256:") != std::string_view::npos;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = path.string();
  // O_NONBLOCK: open() does not wait for the writer of a FIFO.
  const Descriptor file{::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) throw IoError(name, "cannot open", errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) throw IoError(name, "cannot examine", errno);
  if (!S_ISREG(status.st_mode))
    throw IoError(name, std::string("is ") + kind_of(status.st_mode) + ", expected a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  const auto opened = [&](std::span<const std::byte> bytes) {
    const std::shared_ptr<MappedFile> mapped(new MappedFile(name, bytes, size > 0, nullptr));
    mapped->state_ = FileState::of(status);
    return mapped;
  };
  if (size == 0) return opened({});
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (memory == MAP_FAILED) throw IoError(name, "cannot map", errno);
  auto mapped = opened({static_cast<const std::byte*>(memory), size});
  if (is_lfs_pointer(mapped->bytes()))
    throw FormatError({name, {}, {}},
                      "is a Git LFS pointer, expected the file itself (git lfs pull fetches it)");
  return mapped;
}

std::shared_ptr<const MappedFile> MappedFile::of_memory(std::string name,
                                                        std::span<const std::byte> bytes,
                                                        std::shared_ptr<const void> owner) {
  return std::shared_ptr<const MappedFile>(
      new MappedFile(std::move(name), bytes, false, std::move(owner)));
}

MappedFile::MappedFile(std::string path, std::span<const std::byte> bytes, bool mapped,
                       std::shared_ptr<const void> owner)
    : path_(std::move(path)), bytes_(bytes), mapped_(mapped), owner_(std::move(owner)) {
  if (mapped_) note_mapping(bytes_, path_);
}

MappedFile::~MappedFile() {
  if (!mapped_) return;
  forget_mapping(bytes_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void read_ahead(const std::filesystem::path& path) noexcept {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd >= 0) ::posix_fadvise(file.fd, 0, 0, POSIX_FADV_WILLNEED);
}

void drop_pages(std::span<const std::byte> bytes) noexcept {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t begin = (first + page - 1) / page * page,
                       end = (first + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace compat
