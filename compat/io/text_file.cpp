#include "compat/io/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

#include "compat/base/error.h"

namespace compat {
namespace {

constexpr std::size_t kCompressedBytes = std::size_t{1} << 17;
constexpr std::size_t kWholePiece = std::size_t{1} << 20;
constexpr std::string_view kGzipMagic = "\x1f\x8b", kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr int kMaxWindowLog =
    30;  // zstd --long=30; memory is used only as far as the text needs it

/// Compressed forms that are refused. zlib's "x^" is not among them, because text can begin with
/// it.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kOtherForms{
    {{"\xfd"
      "7zXZ",
      "an xz file"},
     {"BZh", "a bzip2 file"},
     {"\x04\x22\x4d\x18", "an lz4 file"},
     {"LZIP", "an lzip file"},
     {"\x1f\x9d", "a file of compress"},
     {"PK\x03\x04", "a zip archive"},
     {"x\x9c", "zlib data"},
     {"x\xda", "zlib data"},
     {"x\x01", "zlib data"}}};

/// A file descriptor whose first bytes can be inspected before they are read.
class RawFile {
 public:
  explicit RawFile(const std::filesystem::path& path) : path_(path.string()) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) throw IoError(path_, "cannot open", errno);
    struct stat status {};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd_);
      throw IoError(path_, S_ISDIR(status.st_mode) ? "is a directory, expected a text file"
                                                   : "is not a regular file");
    }
    ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~RawFile() { ::close(fd_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  bool starts_with(std::string_view magic) const {
    char head[16] = {};
    return ::pread(fd_, head, magic.size(), 0) == static_cast<ssize_t>(magic.size()) &&
           std::string_view(head, magic.size()) == magic;
  }

  /// Whether the bytes begin a zstd frame, or a frame that its readers skip (pzstd writes one
  /// first).
  bool is_zstd() const {
    unsigned char head[4] = {};
    const bool whole = ::pread(fd_, head, sizeof head, 0) == sizeof head;
    return starts_with(kZstdMagic) || (whole && (head[0] & 0xF0) == 0x50 && head[1] == 0x2a &&
                                       head[2] == 0x4d && head[3] == 0x18);
  }

  std::size_t read(std::span<char> out) {
    std::size_t filled = 0;
    while (filled < out.size()) {
      const ssize_t got = ::read(fd_, out.data() + filled, out.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw IoError(path_, "cannot read", errno);
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    bytes_read_ += filled;
    return filled;
  }

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t bytes_read_ = 0;
};

class PlainFile final : public TextFile {
 public:
  explicit PlainFile(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}
  std::size_t read(std::span<char> out) override { return file_->read(out); }
  std::uint64_t disk_bytes_read() const noexcept override { return file_->bytes_read(); }
  bool is_compressed() const noexcept override { return false; }

 private:
  std::unique_ptr<RawFile> file_;
};

/// The common part of both formats: a buffer of compressed bytes and the loop around it.
class CompressedFile : public TextFile {
 public:
  explicit CompressedFile(std::unique_ptr<RawFile> file)
      : file_(std::move(file)), buffer_(kCompressedBytes) {}
  std::uint64_t disk_bytes_read() const noexcept override { return file_->bytes_read(); }
  bool is_compressed() const noexcept override { return true; }

  std::size_t read(std::span<char> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      if (input_.empty() && !pending_) {
        input_ = std::span(buffer_).first(file_->read(buffer_));
        if (input_.empty()) {
          if (inside_) damaged("the compressed data is cut off");
          break;
        }
      }
      filled += decompress(out.subspan(filled));
    }
    return filled;
  }

 protected:
  /// Takes input from the front of input_, writes to `out`, and updates inside_ and pending_.
  virtual std::size_t decompress(std::span<char> out) = 0;
  [[noreturn]] void damaged(const std::string& problem) const {
    throw FormatError({file_->path(), {}, {}}, problem);
  }

  std::span<char> input_;
  bool inside_ = false;   ///< Inside a member or frame, where the file may not end.
  bool pending_ = false;  ///< The output was full, so more may follow without input.

 private:
  std::unique_ptr<RawFile> file_;
  std::vector<char> buffer_;
};

class GzipFile final : public CompressedFile {
 public:
  explicit GzipFile(std::unique_ptr<RawFile> file) : CompressedFile(std::move(file)) {
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK)
      throw std::bad_alloc();  // 16: gzip's header and CRC
  }
  ~GzipFile() override { ::inflateEnd(&stream_); }

 private:
  std::size_t decompress(std::span<char> out) override {
    if (!inside_) {
      if (members_ > 0 && input_.front() == '\0') {  // padding, as of tapes and block devices
        input_ = input_.subspan(1);
        return 0;
      }
      ::inflateReset(&stream_);
      inside_ = true;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(input_.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    const auto room = static_cast<uInt>(std::min<std::size_t>(out.size(), UINT_MAX));
    stream_.avail_out = room;
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    const bool starved = result == Z_BUF_ERROR && input_.empty();  // there was no pending output
    if (result != Z_OK && result != Z_STREAM_END && !starved)
      damaged(std::string("damaged gzip data: ") +
              (stream_.msg != nullptr ? stream_.msg : "no progress"));
    if (result == Z_STREAM_END) inside_ = false, ++members_;
    pending_ = inside_ && stream_.avail_out == 0;
    input_ = input_.last(stream_.avail_in);
    return room - stream_.avail_out;
  }

  z_stream stream_{};
  std::uint64_t members_ = 0;
};

class ZstdFile final : public CompressedFile {
 public:
  explicit ZstdFile(std::unique_ptr<RawFile> file)
      : CompressedFile(std::move(file)), stream_(::ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ~ZstdFile() override { ::ZSTD_freeDStream(stream_); }

 private:
  std::size_t decompress(std::span<char> out) override {
    ZSTD_inBuffer in{input_.data(), input_.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t result = ::ZSTD_decompressStream(stream_, &to, &in);
    if (::ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
      damaged(
          "is zstd data with a window above 1 GiB (zstd --long=31), expected at most --long=30");
    if (::ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    if (::ZSTD_isError(result))
      damaged(std::string("damaged zstd data: ") + ::ZSTD_getErrorName(result));
    inside_ = result != 0;
    pending_ = inside_ && to.pos == to.size;
    input_ = input_.subspan(in.pos);
    return to.pos;
  }

  ZSTD_DStream* stream_;
};

}  // namespace

std::unique_ptr<TextFile> TextFile::open(const std::filesystem::path& path) {
  auto file = std::make_unique<RawFile>(path);
  if (file->starts_with(kGzipMagic)) return std::make_unique<GzipFile>(std::move(file));
  if (file->is_zstd()) return std::make_unique<ZstdFile>(std::move(file));
  for (const auto& [magic, form] : kOtherForms)
    if (file->starts_with(magic))
      throw FormatError({file->path(), {}, {}},
                        "is " + std::string(form) + ", expected plain text, gzip or zstd");
  return std::make_unique<PlainFile>(std::move(file));
}

std::string TextFile::rest() {
  std::string text;
  for (std::size_t got = kWholePiece; got == kWholePiece;) {
    const std::size_t size = text.size();
    text.resize(size + kWholePiece);
    got = read(std::span(text).subspan(size));
    text.resize(size + got);
  }
  return text;
}

std::filesystem::path uncompressed_name(const std::filesystem::path& path) {
  return path.extension() == ".gz" || path.extension() == ".zst"
             ? std::filesystem::path(path).replace_extension()
             : path;
}

bool names_json_lines(const std::filesystem::path& path) {
  const std::string extension = uncompressed_name(path).extension().string();
  return extension == ".jsonl" || extension == ".ndjson" || extension == ".json";
}

std::filesystem::path existing_text_file(const std::string& name) {
  std::error_code error;
  const auto status = std::filesystem::status(name, error);
  if (!std::filesystem::exists(status))
    throw IoError(name, "cannot open", error ? error.value() : ENOENT);
  if (!std::filesystem::is_regular_file(status))
    throw IoError(name, "not a regular file, expected text");
  return name;
}

}  // namespace compat
