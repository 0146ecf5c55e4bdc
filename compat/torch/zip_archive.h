// torch's zip container: stored entries only, zip64, CRC-32, data at multiples of 64 bytes. Layout:
// compat/torch/torch_file.md
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compat/io/atomic_file.h"
#include "compat/io/mapped_file.h"
#include "compat/torch/tensor.h"

namespace compat {

struct ZipEntry {
  std::string name;
  std::uint32_t crc = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  ///< Where the entry's data starts in the file.
};

class ZipArchive {
 public:
  static bool has_magic(std::span<const std::byte> bytes) noexcept;

  /// Reads the central directory and every local header, but no entry's data. FormatError when they
  /// disagree, or when entries overlap, repeat a name, reach beyond the file, or are compressed or
  /// encrypted.
  explicit ZipArchive(std::shared_ptr<const MappedFile> file);

  const std::vector<ZipEntry>& entries() const noexcept { return entries_; }
  const ZipEntry* find(std::string_view name) const noexcept;
  /// The entry's data. The CRC is not checked.
  std::span<const std::byte> raw_bytes(const ZipEntry& entry) const noexcept;
  /// The entry's data. FormatError when the archive has checksums and the CRC-32 is wrong.
  std::span<const std::byte> bytes(const ZipEntry& entry) const;
  /// Empty for an archive without checksums. torch.serialization.set_crc32_options(False) sets
  /// every CRC to 0.
  std::optional<Checksum> checksum(const ZipEntry& entry) const;
  bool has_checksums() const noexcept { return has_checksums_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<ZipEntry> entries_;
  bool has_checksums_ = false;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

class ZipWriter {
 public:
  /// Writes entries FOLDER/NAME to `file`, which the caller commits after finish().
  ZipWriter(AtomicFile& file, std::string folder);
  void add(std::string_view name, std::span<const std::byte> data);
  /// Streams the storage and writes its CRC-32 into the header afterwards.
  void add(std::string_view name, const Storage& storage);
  void finish();

 private:
  void begin_entry(std::string_view name, std::uint64_t size, std::uint32_t crc);
  void end_entry(std::uint32_t crc);
  std::string common_fields(std::uint32_t crc) const;
  bool wide() const noexcept { return size_ >= UINT32_MAX || offset_ >= UINT32_MAX; }

  AtomicFile& file_;
  std::string folder_;
  std::string directory_;
  std::uint64_t count_ = 0;
  // The entry that is being written: its name, its size and the position of its local header.
  std::string path_;
  std::uint64_t size_ = 0, offset_ = 0;
};

}  // namespace compat
