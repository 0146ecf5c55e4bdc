#include "converters/preprocess_manifest.h"

#include <algorithm>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/digest_cache.h"
#include "compat/json_text.h"
#include "compat/mapped_file.h"
#include "compat/sha256.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string digest(const json& source) {
  return compat::sha256_hex(compat::as_byte_span(source.dump(-1, ' ', false, json::error_handler_t::replace)));
}

std::string file_digest(const fs::path& file) { return compat::DigestCache().of(file); }

}  // namespace

PreprocessManifest::PreprocessManifest(const fs::path& destdir) : destdir_(destdir) {
  const fs::path file = destdir / "preprocess.json";
  std::error_code missing;
  if (fs::is_regular_file(file, missing)) entries_ = compat::parse_json(compat::as_chars(compat::MappedFile::open(file)->bytes()));
  if (!entries_.is_object()) entries_ = json::object();
}

bool PreprocessManifest::holds(const std::string& name, const json& source, const std::vector<std::string>& files) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || !entry->is_object() || entry->value("made_from", json()) != digest(source)) return false;
  const auto digests = entry->find("files");
  if (digests == entry->end() || !digests->is_object() || digests->size() != files.size()) return false;
  return std::ranges::all_of(files, [&](const std::string& file) {
    std::error_code missing;
    return fs::is_regular_file(destdir_ / file, missing) && digests->value(file, json()) == file_digest(destdir_ / file);
  });
}

json PreprocessManifest::note(const std::string& name) const { return entries_.at(name).value("note", json()); }

void PreprocessManifest::record(const std::string& name, const json& source, const std::vector<std::string>& files, const json& note) {
  json digests = json::object();
  for (const std::string& file : files) digests[file] = file_digest(destdir_ / file);
  entries_[name] = {{"made_from", digest(source)}, {"files", digests}, {"note", note}};
  compat::write_file_atomically(destdir_ / "preprocess.json",
                                entries_.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace converters
