#include "converters/preprocess_manifest.h"

#include <fstream>

#include "compat/atomic_file.h"
#include "compat/byte_reader.h"
#include "compat/sha256.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string digest(const json& source) {
  return compat::sha256_hex(compat::as_byte_span(source.dump(-1, ' ', false, json::error_handler_t::replace)));
}

}  // namespace

PreprocessManifest::PreprocessManifest(const fs::path& destdir) : destdir_(destdir) {
  std::ifstream in(destdir / "preprocess.json");
  entries_ = nlohmann::ordered_json::parse(in, nullptr, false);
  if (!entries_.is_object()) entries_ = nlohmann::ordered_json::object();
}

bool PreprocessManifest::holds(const std::string& name, const json& source, const std::vector<std::string>& files) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || !entry->is_object() || entry->value("made_from", json()) != digest(source)) return false;
  const auto sizes = entry->find("files");
  if (sizes == entry->end() || !sizes->is_object() || sizes->size() != files.size()) return false;
  for (const std::string& file : files) {
    std::error_code missing;
    const std::uintmax_t size = fs::file_size(destdir_ / file, missing);
    if (missing || sizes->value(file, json()) != size) return false;
  }
  return true;
}

json PreprocessManifest::note(const std::string& name) const { return entries_.at(name).value("note", json()); }

void PreprocessManifest::record(const std::string& name, const json& source, const std::vector<std::string>& files, const json& note) {
  nlohmann::ordered_json sizes = nlohmann::ordered_json::object();
  for (const std::string& file : files) sizes[file] = fs::file_size(destdir_ / file);
  entries_[name] = {{"made_from", digest(source)}, {"files", sizes}, {"note", note}};
  compat::write_file_atomically(destdir_ / "preprocess.json",
                                entries_.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

json file_stamps(const std::vector<fs::path>& files) {
  json stamps = json::array();
  for (const fs::path& file : files)
    stamps.push_back({fs::absolute(file).lexically_normal().string(), fs::file_size(file),
                      fs::last_write_time(file).time_since_epoch().count()});
  return stamps;
}

}  // namespace converters
