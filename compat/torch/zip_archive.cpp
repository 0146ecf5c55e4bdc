#include "compat/torch/zip_archive.h"

#include <algorithm>
#include <stdexcept>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/io/crc32.h"

namespace compat {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50, kDirectoryMagic = 0x02014b50,
                        kEndMagic = 0x06054b50, kEnd64Magic = 0x06064b50,
                        kLocator64Magic = 0x07064b50;
constexpr std::uint64_t kEndSize = 22, kLocator64Size = 20, kDirectoryEntrySize = 46,
                        kMaxComment = 0xFFFF;
constexpr std::uint16_t kEncrypted = 1, kSizesFollow = 8;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;
constexpr std::uint16_t kZip64Extra = 1, kPaddingExtra = 0x4246;  // "FB", as torch pads
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kCrcInLocalHeader = 14;

struct Directory {
  std::uint64_t count = 0, size = 0, offset = 0;
};

ByteReader reader_at(const MappedFile& file, std::uint64_t position, std::string_view what) {
  ByteReader in(file.bytes(), {file.path(), {}, 0});
  in.seek(position, what);
  return in;
}

/// Searches backwards for the end record, over an archive comment of any length. When none ends
/// with the file, foreign bytes may follow it, as torch allows.
std::uint64_t find_end_record(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() >= kEndSize) {
    const std::uint64_t last = bytes.size() - kEndSize;
    const std::uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
    for (const bool at_end : {true, false}) {
      for (std::uint64_t at = last + 1; at-- > first;) {
        std::uint32_t magic = 0;
        std::uint16_t comment = 0;
        std::memcpy(&magic, bytes.data() + at, sizeof magic);
        std::memcpy(&comment, bytes.data() + at + 20, sizeof comment);
        const std::uint64_t end = at + kEndSize + comment;
        if (magic == kEndMagic && (at_end ? end == bytes.size() : end < bytes.size())) return at;
      }
    }
  }
  throw FormatError(
      {file.path(), {}, bytes.size()},
      "no end record of a zip archive was found (the file is cut short or is no zip archive)");
}

Directory read_end64(const MappedFile& file, std::uint64_t end_at) {
  if (end_at < kLocator64Size)
    throw FormatError({file.path(), {}, end_at},
                      "no room for the zip64 locator before the end record");
  ByteReader locator = reader_at(file, end_at - kLocator64Size, "the zip64 locator");
  if (locator.read<std::uint32_t>("the zip64 locator") != kLocator64Magic)
    locator.fail("no zip64 locator before the end record");
  locator.read<std::uint32_t>("a disk number");
  ByteReader in = reader_at(file, locator.read<std::uint64_t>("the zip64 end record's offset"),
                            "the zip64 end record");
  if (in.read<std::uint32_t>("the zip64 end record") != kEnd64Magic)
    in.fail("no zip64 end record where the locator says");
  in.take(8 + 2 + 2 + 4 + 4, "the zip64 end record");
  Directory directory;
  in.read<std::uint64_t>("entries on this disk");
  directory.count = in.read<std::uint64_t>("the number of entries");
  directory.size = in.read<std::uint64_t>("the directory's size");
  directory.offset = in.read<std::uint64_t>("the directory's offset");
  return directory;
}

Directory read_end(const MappedFile& file) {
  const std::uint64_t at = find_end_record(file);
  ByteReader in = reader_at(file, at, "the end record");
  in.take(4, "the end record");
  in.take(4, "disk numbers");
  const auto here = in.read<std::uint16_t>("entries on this disk");
  const auto count = in.read<std::uint16_t>("the number of entries");
  const auto size = in.read<std::uint32_t>("the directory's size");
  const auto offset = in.read<std::uint32_t>("the directory's offset");
  Directory directory{count, size, offset};
  if (count == 0xFFFF || size == kIn64 || offset == kIn64)
    directory = read_end64(file, at);
  else if (here != count)
    in.fail(concat("an archive over several disks (", here, " of ", count, " entries here)"));
  if (directory.offset > at || directory.size > at - directory.offset)
    in.fail(concat("the directory (", directory.size, " bytes at ", directory.offset,
                   ") reaches beyond the end record at ", at));
  if (directory.count > directory.size / kDirectoryEntrySize)
    in.fail(
        concat(directory.count, " entries do not fit a directory of ", directory.size, " bytes"));
  return directory;
}

/// Reads those of `values` that are 0xFFFFFFFF from the zip64 extra field, in the order that the
/// format fixes.
void read_zip64_extra(ByteReader extra, std::span<std::uint64_t* const> values) {
  while (extra.remaining() >= 4) {
    const auto kind = extra.read<std::uint16_t>("an extra field");
    const auto size = extra.read<std::uint16_t>("an extra field's size");
    const Location start = extra.where();
    const auto body = extra.take(size, "an extra field");
    if (kind != kZip64Extra) continue;
    ByteReader in(body, start);
    for (std::uint64_t* value : values)
      if (*value == kIn64) *value = in.read<std::uint64_t>("a zip64 size");
    return;
  }
}

struct Header {
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0, size = 0, local_offset = 0;
  std::string name;
};

Header read_directory_entry(ByteReader& in) {
  if (in.read<std::uint32_t>("a directory entry") != kDirectoryMagic)
    in.fail("no directory entry here");
  Header header;
  in.take(4, "versions");
  header.flags = in.read<std::uint16_t>("flags");
  header.method = in.read<std::uint16_t>("the method");
  in.take(4, "a time");
  header.crc = in.read<std::uint32_t>("a CRC");
  header.packed = in.read<std::uint32_t>("a size");
  header.size = in.read<std::uint32_t>("a size");
  const auto name_size = in.read<std::uint16_t>("a name's size");
  const auto extra_size = in.read<std::uint16_t>("an extra field's size");
  const auto comment_size = in.read<std::uint16_t>("a comment's size");
  in.take(8, "attributes");
  header.local_offset = in.read<std::uint32_t>("an offset");
  header.name = as_chars(in.take(name_size, "a name"));
  const Location extra_at = in.where();
  const std::array<std::uint64_t*, 3> wide{&header.size, &header.packed, &header.local_offset};
  read_zip64_extra(ByteReader(in.take(extra_size, "extra fields"), extra_at), wide);
  in.take(comment_size, "a comment");
  return header;
}

/// Checks the local header against the directory and returns where the data starts.
std::uint64_t data_offset(const MappedFile& file, const Header& entry) {
  ByteReader in = reader_at(file, entry.local_offset, "the entry '" + printable(entry.name) + "'");
  if (in.read<std::uint32_t>("a local header") != kLocalMagic)
    in.fail("no local header of the entry '" + printable(entry.name) + "' here");
  in.take(2, "a version");
  const auto flags = in.read<std::uint16_t>("flags");
  const auto method = in.read<std::uint16_t>("the method");
  in.take(4, "a time");
  const auto crc = in.read<std::uint32_t>("a CRC");
  std::uint64_t packed = in.read<std::uint32_t>("a size"), size = in.read<std::uint32_t>("a size");
  const auto name_size = in.read<std::uint16_t>("a name's size");
  const auto extra_size = in.read<std::uint16_t>("an extra field's size");
  const std::string_view name = as_chars(in.take(name_size, "a name"));
  const Location extra_at = in.where();
  const std::array<std::uint64_t*, 2> wide{&size, &packed};
  read_zip64_extra(ByteReader(in.take(extra_size, "extra fields"), extra_at), wide);
  if (name != entry.name || method != entry.method)
    in.fail("the local header ('" + printable(name) + "') and the directory ('" +
            printable(entry.name) + "') disagree");
  // torch's writer leaves these three fields 0 here and writes them after the data.
  if ((flags & kSizesFollow) == 0 &&
      (crc != entry.crc || size != entry.size || packed != entry.packed))
    in.fail("sizes or CRC in the local header of '" + printable(entry.name) +
            "' differ from the directory's");
  const std::uint64_t at = in.position();
  in.take(entry.size, "the data of '" + printable(entry.name) + "'");
  return at;
}

/// A size or offset in a field of 32 bits. Larger values stand in the zip64 fields.
std::uint32_t narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, kIn64));
}

}  // namespace

bool ZipArchive::has_magic(std::span<const std::byte> bytes) noexcept {
  std::uint32_t magic = 0;
  if (bytes.size() < sizeof magic) return false;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  return magic == kLocalMagic;
}

ZipArchive::ZipArchive(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  const Directory directory = read_end(*file_);
  ByteReader in(file_->bytes().subspan(directory.offset, directory.size),
                {file_->path(), {}, directory.offset});
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    const Location at = in.where();
    Header header = read_directory_entry(in);
    const auto refuse = [&](const std::string& problem) {
      throw FormatError(at, "the entry '" + printable(header.name) + "' " + problem);
    };
    if ((header.flags & kEncrypted) != 0) refuse("is encrypted, which torch.save never does");
    if (header.method != 0)
      refuse(concat("is compressed (method ", header.method,
                    "), expected stored data as torch.save writes"));
    if (header.packed != header.size)
      refuse(concat("has two sizes, ", header.packed, " and ", header.size));
    const std::uint64_t offset = data_offset(*file_, header);
    extents.emplace_back(header.local_offset, offset + header.size);
    has_checksums_ = has_checksums_ || header.crc != 0;
    entries_.push_back({std::move(header.name), header.crc, header.size, offset});
  }
  if (!in.at_end()) in.fail(concat(in.remaining(), " bytes follow the last directory entry"));
  extents.emplace_back(directory.offset, directory.offset + directory.size);
  std::ranges::sort(extents);
  for (std::size_t i = 1; i < extents.size(); ++i)
    if (extents[i].first < extents[i - 1].second)
      throw FormatError({file_->path(), {}, extents[i].first},
                        "entries of the zip archive overlap each other or the directory");
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (!by_name_.emplace(entries_[i].name, i).second)
      throw FormatError({file_->path(), {}, directory.offset},
                        "the zip archive holds '" + printable(entries_[i].name) + "' twice");
}

const ZipEntry* ZipArchive::find(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

std::span<const std::byte> ZipArchive::raw_bytes(const ZipEntry& entry) const noexcept {
  return file_->bytes().subspan(entry.offset, entry.size);
}

std::span<const std::byte> ZipArchive::bytes(const ZipEntry& entry) const {
  if (const auto stated = checksum(entry)) stated->compare(crc32(raw_bytes(entry)));
  return raw_bytes(entry);
}

std::optional<Checksum> ZipArchive::checksum(const ZipEntry& entry) const {
  if (!has_checksums_) return std::nullopt;
  return Checksum{entry.crc, {file_->path(), entry.name, {}}};
}

ZipWriter::ZipWriter(AtomicFile& file, std::string folder)
    : file_(file), folder_(std::move(folder)) {}

void ZipWriter::add(std::string_view name, std::span<const std::byte> data) {
  const std::uint32_t crc = crc32(data);
  begin_entry(name, data.size(), crc);
  file_.write(data);
  end_entry(crc);
}

void ZipWriter::add(std::string_view name, const Storage& storage) {
  const std::uint64_t header = file_.size();
  begin_entry(name, storage.size_bytes(), 0);
  const std::uint64_t data = file_.size();
  std::uint32_t crc = 0;
  storage.stream([&](std::span<const std::byte> piece) {
    crc = crc32(piece, crc);
    file_.write(piece);
  });
  if (file_.size() - data != storage.size_bytes())
    throw std::logic_error("a computed storage differs from its size");
  file_.write_at(header + kCrcInLocalHeader, std::as_bytes(std::span(&crc, 1)));
  end_entry(crc);
}

/// The fields that the local header and the directory share, from the version to the size of the
/// name.
std::string ZipWriter::common_fields(std::uint32_t crc) const {
  std::string out;
  append_number<std::uint16_t>(out, wide() ? 45 : 20);
  append_number<std::uint16_t>(out, 0x800);  // names are UTF-8
  append_number<std::uint16_t>(out, 0);      // stored
  append_number<std::uint32_t>(out,
                               0x00210000);  // 1980-01-01 00:00: equal content gives equal files
  append_number<std::uint32_t>(out, crc);
  append_number<std::uint32_t>(out, narrow(size_));
  append_number<std::uint32_t>(out, narrow(size_));
  append_number<std::uint16_t>(out, static_cast<std::uint16_t>(path_.size()));
  return out;
}

void ZipWriter::begin_entry(std::string_view name, std::uint64_t size, std::uint32_t crc) {
  path_ = folder_ + "/" + std::string(name);
  size_ = size;
  offset_ = file_.size();
  std::string extra;
  if (size >= kIn64) {
    append_number<std::uint16_t>(extra, kZip64Extra);
    append_number<std::uint16_t>(extra, 16);
    append_number<std::uint64_t>(extra, size);
    append_number<std::uint64_t>(extra, size);
  }
  const std::uint64_t unpadded = offset_ + 30 + path_.size() + extra.size() + 4;
  const auto padding =
      static_cast<std::uint16_t>((kAlignment - unpadded % kAlignment) % kAlignment);
  append_number<std::uint16_t>(extra, kPaddingExtra);
  append_number<std::uint16_t>(extra, padding);
  extra.append(padding, 'Z');
  std::string header;
  append_number<std::uint32_t>(header, kLocalMagic);
  header += common_fields(crc);
  append_number<std::uint16_t>(header, static_cast<std::uint16_t>(extra.size()));
  file_.write(header + path_ + extra);
}

void ZipWriter::end_entry(std::uint32_t crc) {
  std::string extra;
  if (wide()) {
    append_number<std::uint16_t>(extra, kZip64Extra);
    append_number<std::uint16_t>(
        extra, static_cast<std::uint16_t>((size_ >= kIn64 ? 16 : 0) + (offset_ >= kIn64 ? 8 : 0)));
    if (size_ >= kIn64) {
      append_number<std::uint64_t>(extra, size_);
      append_number<std::uint64_t>(extra, size_);
    }
    if (offset_ >= kIn64) append_number<std::uint64_t>(extra, offset_);
  }
  append_number<std::uint32_t>(directory_, kDirectoryMagic);
  append_number<std::uint16_t>(directory_, wide() ? 45 : 20);
  directory_ += common_fields(crc);
  append_number<std::uint16_t>(directory_, static_cast<std::uint16_t>(extra.size()));
  append_number<std::uint16_t>(directory_, 0);  // no comment
  append_number<std::uint16_t>(directory_, 0);  // disk
  append_number<std::uint16_t>(directory_, 0);
  append_number<std::uint32_t>(directory_, 0);
  append_number<std::uint32_t>(directory_, narrow(offset_));
  directory_ += path_ + extra;
  ++count_;
}

void ZipWriter::finish() {
  const std::uint64_t offset = file_.size(), end = offset + directory_.size();
  std::string tail = directory_;
  // torch's own writer always writes zip64 records.
  append_number<std::uint32_t>(tail, kEnd64Magic);
  append_number<std::uint64_t>(tail, 44);
  append_number<std::uint16_t>(tail, 45);
  append_number<std::uint16_t>(tail, 45);
  append_number<std::uint32_t>(tail, 0);
  append_number<std::uint32_t>(tail, 0);
  append_number<std::uint64_t>(tail, count_);
  append_number<std::uint64_t>(tail, count_);
  append_number<std::uint64_t>(tail, directory_.size());
  append_number<std::uint64_t>(tail, offset);
  append_number<std::uint32_t>(tail, kLocator64Magic);
  append_number<std::uint32_t>(tail, 0);
  append_number<std::uint64_t>(tail, end);
  append_number<std::uint32_t>(tail, 1);
  append_number<std::uint32_t>(tail, kEndMagic);
  append_number<std::uint32_t>(tail, 0);
  const auto count = static_cast<std::uint16_t>(std::min<std::uint64_t>(count_, 0xFFFF));
  append_number<std::uint16_t>(tail, count);
  append_number<std::uint16_t>(tail, count);
  append_number<std::uint32_t>(tail, narrow(directory_.size()));
  append_number<std::uint32_t>(tail, narrow(offset));
  append_number<std::uint16_t>(tail, 0);
  file_.write(tail);
}

}  // namespace compat
