#include "converters/preprocess_manifest.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/digest_cache.h"
#include "compat/io/file_lock.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kName = "preprocess.json";
constexpr const char* kUnfinished = "unfinished";  // no split has such a name
constexpr const char* kDictionary = "dictionary";

std::string digest(const json& source) {
  return compat::sha256_hex(compat::as_byte_span(compat::json_line(source)));
}

json entries_of(const fs::path& file) {
  json entries;
  std::error_code missing;
  if (fs::is_regular_file(file, missing))
    entries = compat::parse_json(compat::as_chars(compat::MappedFile::open(file)->bytes()));
  return entries.is_object() ? entries : json::object();
}

/// Held while preprocess.json is read and written again. Nothing where the file system has no locks
/// for folders.
std::optional<compat::FileLock> lock_of(const fs::path& destdir) {
  try {
    return compat::FileLock::wait(destdir);
  } catch (const compat::IoError&) {
    return std::nullopt;
  }
}

std::string file_digest(const fs::path& file) { return compat::DigestCache().of(file); }

}  // namespace

PreprocessManifest::PreprocessManifest(const fs::path& destdir)
    : destdir_(destdir), entries_(entries_of(destdir / kName)) {}

bool PreprocessManifest::is_made_from(const std::string& name, const json& source) const {
  const auto entry = entries_.find(name);
  return entry != entries_.end() && entry->is_object() &&
         entry->value("made_from", json()) == digest(source);
}

bool PreprocessManifest::holds(const std::string& name, const json& source,
                               const std::vector<std::string>& files) const {
  if (!is_made_from(name, source)) return false;
  const json& entry = entries_.at(name);
  const auto digests = entry.find("files");
  if (digests == entry.end() || !digests->is_object() || digests->size() != files.size())
    return false;
  return std::ranges::all_of(files, [&](const std::string& file) {
    std::error_code missing;
    return fs::is_regular_file(destdir_ / file, missing) &&
           digests->value(file, json()) == file_digest(destdir_ / file);
  });
}

std::string PreprocessManifest::first_besides(const std::set<std::string>& names) const {
  for (const auto& [name, entry] : entries_.items())
    if (name != kDictionary && name != kUnfinished && !names.contains(name))
      return compat::printable(name);
  return {};
}

bool PreprocessManifest::names_file(const std::string& file) const {
  return std::ranges::any_of(entries_, [&](const json& entry) {
    if (!entry.is_object()) return false;
    const auto files = entry.find("files");
    return files != entry.end() && files->is_object() && files->contains(file);
  });
}

void PreprocessManifest::record(const std::string& name, const json& source,
                                const std::vector<std::string>& files) {
  json digests = json::object();
  for (const std::string& file : files) digests[file] = file_digest(destdir_ / file);
  entries_[name] = {{"made_from", digest(source)}, {"files", digests}};
  changed_.insert(name);
  write();
}

bool PreprocessManifest::unfinished() const { return entries_.contains(kUnfinished); }

void PreprocessManifest::begin(bool without_sets) {
  if (!entries_.empty() || !without_sets) return;
  entries_[kUnfinished] = true;
  changed_.insert(kUnfinished);
  write();
}

void PreprocessManifest::finish() {
  if (entries_.erase(kUnfinished) == 0) return;
  changed_.insert(kUnfinished);
  write();
}

void PreprocessManifest::clear() {
  std::error_code ignored;
  for (const auto& [name, entry] : entries_.items()) {
    changed_.insert(name);
    if (!entry.is_object() || !entry.value("files", json()).is_object()) continue;
    for (const auto& [file, digest] : entry["files"].items()) {
      // The manifest is not trusted: files outside destdir, and those that are no part of a
      // data-bin, are not removed.
      const fs::path path = fs::path(file).lexically_normal(), extension = path.extension();
      const bool inside = !path.empty() && path.is_relative() && *path.begin() != "..";
      if (!inside || !(extension == ".bin" || extension == ".idx" || extension == ".None-None" ||
                       path.filename() == "dict.txt"))
        continue;
      fs::remove(destdir_ / path, ignored);
      if (!path.has_parent_path()) continue;
      fs::remove((destdir_ / path).replace_filename("dict.txt"), ignored);
      fs::remove((destdir_ / path).parent_path(), ignored);  // succeeds only when it is empty
    }
  }
  entries_ = json::object();
}

void PreprocessManifest::write() {
  const std::optional<compat::FileLock> lock = lock_of(destdir_);
  json merged = entries_of(destdir_ / kName);
  for (const std::string& name : changed_)
    if (const auto entry = entries_.find(name); entry != entries_.end())
      merged[name] = *entry;
    else
      merged.erase(name);
  entries_ = std::move(merged);
  if (entries_.empty())
    fs::remove(destdir_ / kName);
  else
    compat::write_file_atomically(
        destdir_ / kName, entries_.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace converters
