#include "compat/checkpoint/forest.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/io/atomic_file.h"
#include "compat/io/file_lock.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/io/sha256.h"

namespace compat {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using nlohmann::json;

constexpr const char* kManifest = "forest.json";
constexpr const char* kCheckpoint = "checkpoint_last.pt";
constexpr const char* kLock = ".forest.lock";
constexpr std::int64_t kVersion = 1;
constexpr double kMostClusterNumber = 1e6;
constexpr std::size_t kLongestName = 200;  ///< leaves room for suffixes in a file name of 255 bytes

bool is_expert_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
         name.front() != '-' && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

bool stays_inside(const fs::path& path) {
  return path.is_relative() && path.has_filename() &&
         std::ranges::find(path, fs::path("..")) == path.end();
}

/// The fields of one object of the manifest. A field of a wrong type is refused by name.
class Fields {
 public:
  Fields(const json& object, std::string file, std::string place)
      : object_(object), file_(std::move(file)), place_(std::move(place)) {
    if (!object.is_object()) fail("", "expected an object");
  }

  std::string text(const char* key, std::optional<std::string> fallback = {}) const {
    const json* value = find(key);
    if (value == nullptr && fallback) return *fallback;
    if (value == nullptr || !value->is_string()) fail(key, "expected a string");
    auto found = value->get<std::string>();
    if (found.find('\0') != std::string::npos) fail(key, "holds a zero byte");
    return found;
  }

  std::optional<double> number(const char* key, double lowest) const {
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    const double found = value->is_number() ? value->get<double>() : std::nan("");
    if (!std::isfinite(found) || found < lowest)
      fail(key, "expected a number of at least " + compat::general(lowest));
    return found;
  }

  bool flag(const char* key, bool fallback) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail(key, "expected true or false");
    return value->get<bool>();
  }

  const json& list(const char* key) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_array()) fail(key, "expected a list");
    return *value;
  }

  [[noreturn]] void fail(const std::string& key, const std::string& problem) const {
    throw FormatError({file_, place_ + (place_.empty() || key.empty() ? "" : ".") + key, {}},
                      problem);
  }

  const std::string& file() const noexcept { return file_; }
  const std::string& place() const noexcept { return place_; }

 private:
  const json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  const json& object_;
  std::string file_, place_;
};

std::optional<ClusterOrigin> read_cluster(const Fields& fields) {
  const std::optional<double> number = fields.number("cluster", 0);
  if (!number) return std::nullopt;
  if (*number != std::floor(*number) || *number >= kMostClusterNumber)
    fields.fail("cluster", "expected the number of a cluster");
  ClusterOrigin cluster{static_cast<std::size_t>(*number), fields.text("cluster_model_sha256", "")};
  if (!cluster.model_sha256.empty() && !is_sha256_hex(cluster.model_sha256))
    fields.fail("cluster_model_sha256",
                "'" + printable(cluster.model_sha256) + "', expected 64 digits of a SHA-256");
  return cluster;
}

ForestExpert read_expert(const Fields& fields) {
  ForestExpert expert;
  expert.name = fields.text("name");
  if (!is_expert_name(expert.name))
    fields.fail("name",
                "'" + printable(expert.name) + "', expected letters, digits, '_', '-', '.'");
  expert.domain = fields.text("domain", expert.name);
  expert.path = fields.text("path");
  if (!stays_inside(expert.path))
    fields.fail("path",
                "'" + printable(expert.path.string()) + "', expected a file inside the forest");
  expert.start = fields.text("start", "");
  expert.data = fields.text("data", "");
  expert.valid_ppl = fields.number("valid_ppl", 0);
  expert.dictionary = fields.text(kDictionaryKey, "");
  if (!expert.dictionary.empty() && !is_dictionary_sha256(expert.dictionary))
    fields.fail(kDictionaryKey,
                "'" + printable(expert.dictionary) + "', expected 64 digits of a SHA-256");
  expert.complete = fields.flag("complete", true);
  expert.cluster = read_cluster(fields);
  const json& parents = fields.list("parents");
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const Fields parent(parents[i], fields.file(),
                        compat::concat(fields.place(), ".parents[", i, ']'));
    expert.parents.push_back({parent.text("model"), parent.number("weight", 0).value_or(1)});
  }
  return expert;
}

/// The experts of one list of the manifest, of different names.
std::vector<ForestExpert> read_experts(const json& list, const std::string& file, const char* key) {
  std::vector<ForestExpert> experts;
  std::set<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Fields entry(list[i], file, compat::concat(key, '[', i, ']'));
    ForestExpert expert = read_expert(entry);
    if (!names.insert(expert.name).second)
      entry.fail("name", "'" + expert.name + "' was given before");
    experts.push_back(std::move(expert));
  }
  return experts;
}

void read_manifest(const fs::path& path, Forest& forest) {
  const auto file = MappedFile::open(path);
  const json manifest = parse_json_object(as_chars(file->bytes()), {path.string(), {}, {}},
                                          "the manifest of a forest");
  const Fields fields(manifest, path.string(), "");
  if (const double version = fields.number("btm_forest", 0).value_or(0); version != kVersion)
    fields.fail("btm_forest", compat::concat("expected version ", kVersion, " of the manifest"));
  forest.experts = read_experts(fields.list("experts"), path.string(), "experts");
  if (manifest.contains("removed"))
    forest.removed = read_experts(fields.list("removed"), path.string(), "removed");
}

std::vector<ForestExpert> released_layout(const fs::path& folder) {
  std::vector<ForestExpert> experts;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code unreadable;
    if (!is_expert_name(name) || !fs::is_regular_file(entry->path() / kCheckpoint, unreadable))
      continue;
    experts.push_back({.name = name,
                       .domain = name,
                       .path = fs::path(name) / kCheckpoint,
                       .start = {},
                       .parents = {},
                       .data = {},
                       .valid_ppl = {}});
  }
  if (error) throw IoError(folder.string(), "cannot list", error.value());
  std::ranges::sort(experts, natural_less, &ForestExpert::name);
  return experts;
}

Json json_of(const std::vector<ForestExpert>& list) {
  Json experts = Json::array();
  for (const ForestExpert& expert : list) {
    Json parents = Json::array();
    for (const ForestParent& parent : expert.parents)
      parents.push_back({{"model", parent.model}, {"weight", parent.weight}});
    experts.push_back(
        {{"name", expert.name},
         {"domain", expert.domain},
         {"path", expert.path.generic_string()},
         {"start", expert.start},
         {"parents", parents},
         {"data", expert.data},
         {"valid_ppl", expert.valid_ppl ? Json(*expert.valid_ppl) : Json(nullptr)},
         {kDictionaryKey, expert.dictionary},
         {"complete", expert.complete},
         {"cluster", expert.cluster ? Json(expert.cluster->cluster) : Json(nullptr)},
         {"cluster_model_sha256", expert.cluster ? expert.cluster->model_sha256 : ""}});
  }
  return experts;
}

void write_manifest(const Forest& forest) {
  Json manifest{{"btm_forest", kVersion}, {"experts", json_of(forest.experts)}};
  if (!forest.removed.empty()) manifest["removed"] = json_of(forest.removed);
  write_file_atomically(forest.folder / kManifest,
                        manifest.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

const ForestExpert* Forest::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(experts, name, &ForestExpert::name);
  return found == experts.end() ? nullptr : &*found;
}

ForestExpert* Forest::find(std::string_view name) noexcept {
  return const_cast<ForestExpert*>(std::as_const(*this).find(name));
}

void check_expert_name(std::string_view name) {
  if (!is_expert_name(name))
    throw UsageError("'" + printable(name) +
                     "' cannot name an expert, expected letters, digits, '_', '-', '.', "
                     "and not '.' or '-' first");
}

fs::path forest_folder(const fs::path& folder) {
  std::error_code unknown;
  for (const char* const own : {kManifest, kCheckpoint})
    if (fs::exists(folder / own, unknown)) return folder;
  const fs::path experts = folder / kExpertsOfRun;
  return fs::is_regular_file(experts / kManifest, unknown) ? experts : folder;
}

Forest open_forest(const fs::path& named) {
  const fs::path folder = forest_folder(named);
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw IoError(folder.string(),
                  "is not a folder, expected a forest: forest.json, or DOMAIN/checkpoint_last.pt");
  Forest forest{
      .folder = folder, .has_manifest = fs::exists(folder / kManifest, error), .experts = {}};
  if (forest.has_manifest)
    read_manifest(folder / kManifest, forest);
  else
    forest.experts = released_layout(folder);
  return forest;
}

bool is_forest(const fs::path& named) {
  const fs::path folder = forest_folder(named);
  std::error_code error;
  if (!fs::is_directory(folder, error) || fs::exists(folder / kCheckpoint, error)) return false;
  return fs::exists(folder / kManifest, error) || !released_layout(folder).empty();
}

std::vector<ForestExpert> complete_experts(const Forest& forest) {
  std::vector<ForestExpert> complete;
  std::ranges::copy_if(forest.experts, std::back_inserter(complete), &ForestExpert::complete);
  if (complete.empty()) throw IoError(forest.folder.string(), "has no complete expert");
  return complete;
}

std::vector<std::string> checkpoints_of(const Forest& forest) {
  std::vector<std::string> paths;
  for (const ForestExpert& expert : complete_experts(forest))
    paths.push_back(forest.checkpoint_of(expert).string());
  return paths;
}

KnownDictionary dictionary_of(const Forest& forest, const ForestExpert& expert) {
  if (expert.dictionary.empty()) return Checkpoint::open(forest.checkpoint_of(expert)).dictionary();
  return {forest.checkpoint_of(expert).string(), expert.dictionary,
          expert.data.empty() ? fs::path() : fs::path(expert.data) / "dict.txt"};
}

std::string taken_as_experts(const Forest& forest) {
  if (forest.has_manifest || forest.experts.empty()) return {};
  constexpr std::size_t kNamed = 20;
  std::string names;
  for (std::size_t i = 0; i < std::min(forest.experts.size(), kNamed); ++i)
    names += (i > 0 ? ", " : "") + forest.experts[i].name;
  const std::size_t count = forest.experts.size();
  return printable(forest.folder.string(), 4096) + " has no forest.json: " +
         (count == 1 ? "its subfolder" : concat("all its ", count, " subfolders")) +
         " with a checkpoint_last.pt " +
         (count == 1 ? "is taken as an expert: " : "are taken as experts: ") + names +
         (count > kNamed ? ", ..." : "");
}

std::optional<ForestExpert> manifest_entry(const fs::path& checkpoint) {
  std::error_code unknown;
  const fs::path whole = fs::weakly_canonical(checkpoint, unknown);
  for (fs::path folder = whole.parent_path(); folder.has_relative_path();
       folder = folder.parent_path()) {
    if (!fs::is_regular_file(folder / kManifest, unknown)) continue;
    const Forest forest = open_forest(folder);
    for (const ForestExpert& expert : forest.experts)
      if (fs::weakly_canonical(forest.checkpoint_of(expert), unknown) == whole) return expert;
    break;
  }
  return std::nullopt;
}

std::string joined_paths(const std::vector<std::string>& paths) {
  std::string joined;
  for (const std::string& path : paths) {
    if (path.find(':') != std::string::npos)
      throw UsageError("'" + printable(path, 4096) + "' holds a ':', which separates paths");
    joined += (joined.empty() ? "" : ":") + path;
  }
  return joined;
}

void change_forest(const fs::path& named, const std::function<void(Forest&)>& change) {
  const fs::path folder = forest_folder(named);
  const auto lock = FileLock::wait(folder / kLock);
  Forest forest = open_forest(folder);
  change(forest);
  write_manifest(forest);
}

std::optional<std::int64_t> updates_of(const fs::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  const PickleNode* history = checkpoint.find_entry("optimizer_history");
  const auto* list = history == nullptr ? nullptr : history->get_if<PickleList>();
  if (list == nullptr || list->items.empty()) return std::nullopt;
  const PickleNode* updates = list->items.back()->find("num_updates");
  const auto* number = updates == nullptr ? nullptr : updates->get_if<std::int64_t>();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

}  // namespace compat
