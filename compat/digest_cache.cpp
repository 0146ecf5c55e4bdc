#include "compat/digest_cache.h"

#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/mapped_file.h"
#include "compat/sha256.h"

namespace compat {

using nlohmann::json;

DigestCache::DigestCache(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file_, missing)) return;
  // A cache: whatever is wrong with it, it is only as good as empty.
  json record;
  try {
    record = json::parse(as_chars(MappedFile::open(file_)->bytes()), nullptr, /*allow_exceptions=*/false);
  } catch (const IoError&) {
    return;
  }
  if (!record.is_object()) return;
  for (const auto& [path, entry] : record.items()) {
    if (!entry.is_object() || !entry["size"].is_number_unsigned() || !entry["inode"].is_number_unsigned() ||
        !entry["changed_ns"].is_number_integer() || !entry["sha256"].is_string())
      continue;
    entries_[path] = {entry["size"], entry["inode"], entry["changed_ns"], entry["sha256"]};
  }
}

std::string DigestCache::of(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw IoError(path.string(), "open", errno);
  Entry now{static_cast<std::uint64_t>(info.st_size), info.st_ino, info.st_mtim.tv_sec * std::int64_t{1000000000} + info.st_mtim.tv_nsec, {}};
  Entry& known = entries_[std::filesystem::absolute(path).string()];
  now.sha256 = known.sha256;
  if (known == now && !now.sha256.empty()) return known.sha256;
  now.sha256 = sha256_hex(MappedFile::open(path)->bytes());
  known = now;
  changed_ = true;
  return known.sha256;
}

void DigestCache::save() const {
  if (!changed_) return;
  json record = json::object();
  for (const auto& [path, entry] : entries_)
    record[path] = {{"size", entry.size}, {"inode", entry.inode}, {"changed_ns", entry.changed_ns}, {"sha256", entry.sha256}};
  try {
    write_file_atomically(file_, record.dump() + "\n");
  } catch (const IoError&) {
  }
}

}  // namespace compat
