// Reads text files from front to back: plain, gzip or zstd, recognised by their first bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace compat {

class TextFile {
 public:
  /// IoError when the file is missing, or is a folder, a FIFO or a device.
  static std::unique_ptr<TextFile> open(const std::filesystem::path& path);
  virtual ~TextFile() = default;

  /// Reads into `out` and returns the number of bytes, which is smaller than out.size() only at the
  /// end. FormatError for damaged or incomplete compressed data.
  virtual std::size_t read(std::span<char> out) = 0;

  /// Bytes read from the disk so far, to compare with the file's size for progress.
  virtual std::uint64_t disk_bytes_read() const noexcept = 0;
  virtual bool is_compressed() const noexcept = 0;
  /// All bytes from here to the end.
  std::string rest();
};

/// `path` without a final .gz or .zst.
std::filesystem::path uncompressed_name(const std::filesystem::path& path);

/// Whether the name says that each line is a JSON object: .jsonl, .ndjson or .json, also with .gz
/// or .zst after it.
bool names_json_lines(const std::filesystem::path& path);

/// `name` as a path. IoError when it is not a regular file, which can be read more than once.
std::filesystem::path existing_text_file(const std::string& name);

}  // namespace compat
