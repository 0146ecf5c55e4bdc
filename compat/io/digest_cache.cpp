#include "compat/io/digest_cache.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace compat {
namespace {

using nlohmann::json;

/// The numbers that a record stores for a file, beside its digest.
constexpr std::array<std::pair<const char*, std::uint64_t FileState::*>, 3> kNumbers{
    {{"device", &FileState::device}, {"inode", &FileState::inode}, {"size", &FileState::size}}};
constexpr std::array<std::pair<const char*, std::int64_t FileState::*>, 3> kTimes{
    {{"written_ns", &FileState::modified_ns},
     {"changed_ns", &FileState::changed_ns},
     {"read_ns", &FileState::seen_ns}}};

/// IoError when there is no such file.
FileState state_of(const std::filesystem::path& path) {
  const auto state = FileState::of(path);
  if (!state) throw IoError(path.string(), "cannot open", errno);
  return *state;
}

std::string name_of(const std::filesystem::path& path) {
  return std::filesystem::absolute(path).string();
}

}  // namespace

DigestCache::DigestCache(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file_, missing)) return;
  // An unreadable cache counts as empty.
  json record;
  try {
    record = parse_json(as_chars(MappedFile::open(file_)->bytes()));
  } catch (const IoError&) {
    return;
  }
  if (!record.is_object()) return;
  for (const auto& [path, entry] : record.items()) {
    if (!entry.is_object() || !entry["sha256"].is_string()) continue;
    Entry& known = entries_[path];
    known.sha256 = entry["sha256"];
    // A missing number becomes 0, which no existing file has.
    for (const auto& [key, number] : kNumbers)
      known.state.*number = entry[key].is_number_unsigned() ? entry[key].get<std::uint64_t>() : 0;
    for (const auto& [key, time] : kTimes)
      known.state.*time = entry[key].is_number_integer() ? entry[key].get<std::int64_t>() : 0;
  }
}

std::string DigestCache::of(const std::filesystem::path& path) {
  const FileState before = state_of(path);
  Entry& known = entries_[name_of(path)];
  if (!known.sha256.empty() && known.state.is_unchanged_until(before)) {
    if (known.use == Use::kNone) known.use = Use::kRemembered;
    return known.sha256;
  }
  known = {};
  const std::string sha256 = sha256_hex(MappedFile::open(path)->bytes());
  if (!before.is_same_as(state_of(path))) throw IoError(path.string(), "changed while it was read");
  known = {before, sha256, Use::kRead};
  changed_ = true;
  return known.sha256;
}

std::string DigestCache::read_at(const std::filesystem::path& path) const {
  const auto known = entries_.find(name_of(path));
  if (known == entries_.end() || known->second.sha256.empty()) return {};
  const std::time_t seconds = known->second.state.seen_ns / 1'000'000'000;
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
  return static_cast<std::size_t>(
      std::ranges::count_if(entries_, [&](const auto& entry) { return entry.second.use == use; }));
}

void DigestCache::save() const {
  if (!changed_ || file_.empty()) return;
  json record = json::object();
  for (const auto& [path, entry] : entries_) {
    if (entry.sha256.empty()) continue;
    json& known = record[path] = {{"sha256", entry.sha256}};
    for (const auto& [key, number] : kNumbers) known[key] = entry.state.*number;
    for (const auto& [key, time] : kTimes) known[key] = entry.state.*time;
  }
  try {
    write_file_atomically(file_, json_line(record) + "\n");
  } catch (const IoError&) {
  }
}

}  // namespace compat
