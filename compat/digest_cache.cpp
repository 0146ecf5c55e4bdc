#include "compat/digest_cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/json_text.h"
#include "compat/mapped_file.h"
#include "compat/sha256.h"

namespace compat {
namespace {

using nlohmann::json;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kSettled = 2 * kSecond;  ///< Above the granularity of file systems' times.

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string name_of(const std::filesystem::path& path) { return std::filesystem::absolute(path).string(); }

}  // namespace

DigestCache::DigestCache(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file_, missing)) return;
  // A cache: whatever is wrong with it, it is only as good as empty.
  json record;
  try {
    record = parse_json(as_chars(MappedFile::open(file_)->bytes()));
  } catch (const IoError&) {
    return;
  }
  if (!record.is_object()) return;
  for (const auto& [path, entry] : record.items()) {
    if (!entry.is_object() || !entry["size"].is_number_unsigned() || !entry["inode"].is_number_unsigned() || !entry["sha256"].is_string() ||
        !std::ranges::all_of(std::array{"written_ns", "changed_ns", "read_ns"}, [&](const char* key) { return entry[key].is_number_integer(); }))
      continue;
    entries_[path] = {entry["size"], entry["inode"], entry["written_ns"], entry["changed_ns"], entry["read_ns"], entry["sha256"]};
  }
}

DigestCache::Entry DigestCache::state_of(const std::filesystem::path& path) {
  const std::int64_t before = now_ns();
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw IoError(path.string(), "open", errno);
  return {static_cast<std::uint64_t>(info.st_size), info.st_ino, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim), before, {}};
}

bool DigestCache::knows(const Entry& known, const Entry& now) noexcept {
  return !known.sha256.empty() && known.size == now.size && known.inode == now.inode && known.written_ns == now.written_ns &&
         known.changed_ns == now.changed_ns && std::max(known.written_ns, known.changed_ns) + kSettled <= known.read_ns;
}

std::string DigestCache::of(const std::filesystem::path& path) {
  Entry now = state_of(path);
  Entry& known = entries_[name_of(path)];
  if (knows(known, now)) {
    if (known.use == Use::kNone) known.use = Use::kRemembered;
    return known.sha256;
  }
  known.sha256 = {};
  now.sha256 = sha256_hex(MappedFile::open(path)->bytes());
  const Entry after = state_of(path);
  if (after.size != now.size || after.inode != now.inode || after.written_ns != now.written_ns)
    throw IoError(path.string(), "changed while it was read");
  now.use = Use::kRead;
  known = now;
  changed_ = true;
  return known.sha256;
}

std::string DigestCache::read_at(const std::filesystem::path& path) const {
  const auto known = entries_.find(name_of(path));
  if (known == entries_.end() || known->second.sha256.empty()) return {};
  const std::time_t seconds = known->second.read_ns / kSecond;
  std::tm utc{};
  std::array<char, 32> text{};
  if (::gmtime_r(&seconds, &utc) == nullptr) return {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

void DigestCache::forget() {
  entries_.clear();
  changed_ = true;
}

std::size_t DigestCache::count(Use use) const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(entries_, [&](const auto& entry) { return entry.second.use == use; }));
}

void DigestCache::save() const {
  if (!changed_ || file_.empty()) return;
  json record = json::object();
  for (const auto& [path, entry] : entries_)
    if (!entry.sha256.empty())
      record[path] = {{"size", entry.size},         {"inode", entry.inode},     {"written_ns", entry.written_ns},
                      {"changed_ns", entry.changed_ns}, {"read_ns", entry.read_ns}, {"sha256", entry.sha256}};
  try {
    write_file_atomically(file_, record.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  } catch (const IoError&) {
  }
}

}  // namespace compat
