// Text files read front to back: plain, gzip or zstd, told apart by their first bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace converters {

class TextFile {
 public:
  /// IoError for a missing file, a folder, a FIFO or a device.
  static std::unique_ptr<TextFile> open(const std::filesystem::path& path);
  virtual ~TextFile() = default;

  /// Fills `out` as far as the file goes and returns how much that was: less than asked for only at
  /// the end. FormatError for damaged or cut compressed data.
  virtual std::size_t read(std::span<char> out) = 0;

  /// Bytes read from the disk so far: the progress that a file's size is compared with.
  virtual std::uint64_t disk_bytes_read() const noexcept = 0;
  virtual bool is_compressed() const noexcept = 0;
};

/// `path` without an ending that names a compression (.gz, .zst).
std::filesystem::path uncompressed_name(const std::filesystem::path& path);

/// `name` as a path. IoError when it is not a file that can be read front to back more than once.
std::filesystem::path existing_text_file(const std::string& name);

}  // namespace converters
