// btm-convert inspect: what a file or folder of fairseq's holds, for people and as JSON.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/checkpoint.h"
#include "compat/command_line.h"
#include "compat/config_json.h"
#include "compat/dictionary.h"
#include "compat/error.h"
#include "compat/indexed_dataset.h"
#include "compat/sha256.h"
#include "compat/zip_archive.h"
#include "converters/commands.h"
#include "converters/data_sets.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string human_bytes(std::uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) value /= 1024, ++unit;
  std::ostringstream text;
  text << std::fixed << std::setprecision(unit == 0 ? 0 : 1) << value << " " << units[unit];
  return text.str();
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

/// A pickled value small enough to show; "a dict of 3" otherwise.
Json node_json(const compat::PickleNode* node) {
  if (node == nullptr || node->is_none()) return nullptr;
  if (const auto* value = node->get_if<bool>()) return *value;
  if (const auto* value = node->get_if<std::int64_t>()) return *value;
  if (const auto* value = node->get_if<double>()) return *value;
  if (const auto* value = node->get_if<std::string>()) return *value;
  return node->describe();
}

struct TensorRow {
  std::string name;
  const compat::TensorView* view;
};

/// Tensors of a model with its sizes; `hash` reads every byte.
Json tensors_json(const compat::NamedTensors& tensors, bool hash) {
  Json rows = Json::array();
  std::vector<std::byte> scratch;
  for (const auto& [name, view] : tensors) {
    Json row{{"name", name}, {"dtype", compat::dtype_name(view.dtype())}, {"shape", view.shape}, {"stride", view.stride}};
    if (hash) {
      row["sha256"] = compat::sha256_hex(view.contiguous_bytes(scratch));
      view.storage->release_pages();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// Parameters and bytes on disk, storages that several tensors share counted once.
std::pair<std::int64_t, std::uint64_t> totals(const compat::NamedTensors& tensors) {
  std::int64_t numel = 0;
  std::uint64_t bytes = 0;
  std::set<const compat::Storage*> seen;
  for (const auto& [name, view] : tensors) {
    if (!seen.insert(view.storage.get()).second) continue;
    numel += view.numel();
    bytes += view.storage->size_bytes();
  }
  return {numel, bytes};
}

/// The last entry of optimizer_history, where fairseq keeps the number of updates.
Json last_history(const compat::Checkpoint& checkpoint, std::string_view key) {
  const compat::PickleNode* const history = checkpoint.find_entry("optimizer_history");
  const auto* list = history == nullptr ? nullptr : history->get_if<compat::PickleList>();
  return list == nullptr || list->items.empty() ? Json(nullptr) : node_json(list->items.back()->find(key));
}

Json optimizer_json(const compat::Checkpoint& checkpoint) {
  const compat::PickleNode* const optimizer = checkpoint.find_entry("last_optimizer_state");
  if (optimizer == nullptr) return nullptr;
  Json json{{"name", last_history(checkpoint, "optimizer_name")}};
  const compat::PickleNode* const state = optimizer->find("state");
  const auto* dict = state == nullptr ? nullptr : state->get_if<compat::PickleDict>();
  json["entries"] = dict == nullptr ? 0 : dict->items.size();
  if (const auto* scale = optimizer->find("loss_scale")) json["loss_scale"] = node_json(scale);
  return json;
}

Json checkpoint_json(const compat::Checkpoint& checkpoint, bool hash) {
  const auto [parameters, bytes] = totals(checkpoint.model());
  Json json{{"kind", checkpoint.files().size() > 1 ? "demix checkpoint" : "checkpoint"},
            {"files", checkpoint.files()},
            {"layout", checkpoint.format()},
            {"configuration", checkpoint.config().is_flat() ? "args" : "cfg"},
            {"arch", checkpoint.config().is_flat() ? checkpoint.config().get_string("", "arch", "")
                                                   : checkpoint.config().get_string("model", "_name", "")},
            {"num_updates", last_history(checkpoint, "num_updates")},
            {"criterion", last_history(checkpoint, "criterion_name")},
            {"lr_scheduler", last_history(checkpoint, "lr_scheduler_name")},
            {"optimizer", optimizer_json(checkpoint)},
            {"parameters", parameters},
            {"model_bytes", bytes}};
  Json extra = Json::object();
  if (const compat::PickleNode* const state = checkpoint.find_entry("extra_state")) {
    for (const char* const key : {"val_loss", "best", "previous_training_time"})
      if (const auto* found = state->find(key)) extra[key] = node_json(found);
    if (const auto* iterator = state->find("train_iterator"))
      for (const char* const key : {"epoch", "iterations_in_epoch"})
        if (const auto* found = iterator->find(key)) extra[key] = node_json(found);
  }
  json["extra_state"] = std::move(extra);
  json["cfg"] = compat::config_as_json(checkpoint.config().root());
  json["tensors"] = tensors_json(checkpoint.model(), hash);
  return json;
}

Json shared_half_json(const fs::path& path, bool hash) {
  const compat::TorchFile file = compat::load_torch_file(path);
  const compat::NamedTensors tensors = compat::model_tensors(*file.tree.root, file.path);
  const auto [parameters, bytes] = totals(tensors);
  return {{"kind", "demix shared part"}, {"files", {file.path}}, {"layout", file.layout == compat::TorchLayout::kZip ? "zip" : "legacy"},
          {"parameters", parameters}, {"model_bytes", bytes}, {"tensors", tensors_json(tensors, hash)}};
}

Json dictionary_json(const fs::path& path) {
  const compat::Dictionary dictionary = compat::Dictionary::load(path);
  std::int64_t padding = 0;
  for (std::int64_t i = 0; i < dictionary.size(); ++i) padding += dictionary.symbol(i).starts_with("madeupword") ? 1 : 0;
  return {{"kind", "dictionary"}, {"file", path.string()}, {"symbols", dictionary.size()}, {"special", 4}, {"madeupwords", padding}};
}

/// `dictionary` is needed for raw text only.
Json dataset_json(const fs::path& prefix, const compat::Dictionary* dictionary, bool hash) {
  const auto dataset = open_data_set(prefix, dictionary);
  const auto sizes = dataset->sizes();
  Json json{{"kind", "data set"}, {"prefix", prefix.string()}, {"implementation", compat::impl_name(dataset->impl())},
            {"dtype", dataset->dtype()}, {"sequences", dataset->size()}, {"tokens", dataset->total_tokens()},
            {"longest", sizes.empty() ? 0 : *std::ranges::max_element(sizes)}};
  if (hash) {
    // Of the ids as int64, whatever they are stored as: equal for equal content.
    compat::Sha256 sha;
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      const std::vector<std::int64_t> ids = dataset->sequence(i);
      sha.update(std::as_bytes(std::span(ids)));
    }
    json["sha256_ids"] = sha.hex();
  }
  return json;
}

Json folder_json(const fs::path& folder, const compat::Dictionary* inherited, int depth, bool hash);

/// What is wrong with one member is reported in its place, so that the rest of a folder is still seen.
template <class Describe>
Json described(const fs::path& path, Describe&& describe) {
  try {
    return describe();
  } catch (const std::exception& error) {
    return {{"kind", "unreadable"}, {"file", path.string()}, {"error", error.what()}};
  }
}

bool holds_something(const Json& folder) {
  return !folder["dictionary"].is_null() || !folder["splits"].empty() || !folder["checkpoints"].empty() || !folder["folders"].empty();
}

Json members_json(const fs::path& folder, const compat::Dictionary* dictionary, int depth, bool hash) {
  Json folders = Json::array();
  std::set<fs::path> inner;
  for (const auto& entry : fs::directory_iterator(folder))
    if (std::error_code ignored; entry.is_directory(ignored)) inner.insert(entry.path());
  for (const fs::path& path : inner) {
    Json json = described(path, [&] { return folder_json(path, dictionary, depth + 1, hash); });
    if (json["kind"] == "unreadable" || holds_something(json)) folders.push_back(std::move(json));
  }
  return folders;
}

Json folder_json(const fs::path& folder, const compat::Dictionary* inherited, int depth, bool hash) {
  Json json{{"kind", "folder"}, {"folder", folder.string()}, {"dictionary", nullptr}, {"splits", Json::array()},
            {"checkpoints", Json::array()}, {"folders", Json::array()}};
  std::optional<compat::Dictionary> own;
  if (fs::exists(folder / "dict.txt")) {
    json["dictionary"] = described(folder / "dict.txt", [&] { return dictionary_json(folder / "dict.txt"); });
    if (json["dictionary"]["kind"] == "dictionary") own = compat::Dictionary::load(folder / "dict.txt");
  }
  const compat::Dictionary* const dictionary = own ? &*own : inherited;
  for (const fs::path& prefix : splits_in(folder))
    json["splits"].push_back(described(prefix, [&] { return dataset_json(prefix, dictionary, hash); }));
  std::set<fs::path> checkpoints;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".pt") checkpoints.insert(entry.path());
  for (const fs::path& path : checkpoints)
    json["checkpoints"].push_back(described(path, [&] {
      Json one = compat::Checkpoint::is_shared_half(path) ? shared_half_json(path, hash) : checkpoint_json(compat::Checkpoint::open(path), hash);
      if (!hash) one.erase("tensors"), one.erase("cfg");
      return one;
    }));
  if (depth < 4) json["folders"] = members_json(folder, dictionary, depth, hash);
  return json;
}

/// Whether the file starts as torch files do: a zip, or a pickle.
bool looks_like_torch(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  char head[2] = {};
  in.read(head, 2);
  return in && (std::string_view(head, 2) == "PK" || (head[0] == '\x80' && head[1] >= 2 && head[1] <= 5));
}

Json inspect(const fs::path& path, bool hash) {
  if (fs::is_directory(path)) return folder_json(path, nullptr, 0, hash);
  const std::string extension = path.extension().string();
  if (const fs::path prefix = data_set_prefix(path); !prefix.empty()) {
    const auto dictionary = dictionary_beside(prefix);
    return dataset_json(prefix, dictionary.get(), hash);
  }
  if (!fs::exists(path)) throw compat::IoError(path.string(), "no such file or folder");
  if (!fs::is_regular_file(path) || looks_like_torch(path) || extension == ".pt")
    return compat::Checkpoint::is_shared_half(path) ? shared_half_json(path, hash) : checkpoint_json(compat::Checkpoint::open(path), hash);
  return dictionary_json(path);
}

// --- for people ----------------------------------------------------------------------------------------------------

std::string text_of(const Json& value) { return value.is_string() ? compat::printable(value.get<std::string>(), 200) : value.is_null() ? "-" : value.dump(); }

void print_checkpoint(const Json& json, const std::string& indent, bool tensors, std::ostream& out) {
  out << indent << text_of(json["kind"]);
  for (const Json& file : json["files"]) out << " " << text_of(file);
  out << "\n" << indent << "  " << text_of(json["layout"]) << " layout";
  if (json.contains("arch")) {
    out << ", " << text_of(json["arch"]) << ", " << text_of(json["num_updates"]) << " updates, criterion " << text_of(json["criterion"]);
    if (!json["optimizer"].is_null()) out << ", optimizer state of " << text_of(json["optimizer"]["name"]);
  }
  out << "\n" << indent << "  " << json["parameters"].get<std::int64_t>() << " parameters, "
      << human_bytes(json["model_bytes"].get<std::uint64_t>()) << "\n";
  if (!tensors || !json.contains("tensors")) return;
  std::size_t width = 0;
  for (const Json& row : json["tensors"]) width = std::max(width, text_of(row["name"]).size());
  for (const Json& row : json["tensors"]) {
    const std::string name = text_of(row["name"]);
    out << indent << "  " << name << std::string(width - name.size() + 2, ' ') << text_of(row["dtype"]) << " "
        << shape_text(row["shape"].get<std::vector<std::int64_t>>());
    if (row.contains("sha256")) out << "  " << text_of(row["sha256"]);
    out << "\n";
  }
}

void print(const Json& json, const std::string& indent, std::ostream& out) {
  const std::string kind = json["kind"];
  if (kind == "unreadable") {
    out << indent << "unreadable: " << json["error"].get<std::string>() << "\n";
  } else if (kind == "dictionary") {
    out << indent << "dictionary " << text_of(json["file"]) << ": " << json["symbols"] << " symbols, of them " << json["special"]
        << " special and " << json["madeupwords"] << " madeupwords\n";
  } else if (kind == "data set") {
    out << indent << "data set " << text_of(json["prefix"]) << ": " << text_of(json["implementation"]) << " (" << text_of(json["dtype"])
        << "), " << json["sequences"] << " sequences, " << json["tokens"] << " tokens, longest " << json["longest"];
    if (json.contains("sha256_ids")) out << ", ids " << text_of(json["sha256_ids"]);
    out << "\n";
  } else if (kind == "folder") {
    out << indent << "folder " << text_of(json["folder"]) << "\n";
    if (!json["dictionary"].is_null()) print(json["dictionary"], indent + "  ", out);
    for (const char* const members : {"splits", "folders"})
      for (const Json& member : json[members]) print(member, indent + "  ", out);
    for (const Json& member : json["checkpoints"]) {
      if (member["kind"] == "unreadable")
        print(member, indent + "  ", out);
      else
        print_checkpoint(member, indent + "  ", false, out);
    }
  } else {
    print_checkpoint(json, indent, true, out);
  }
}

}  // namespace

int run_inspect(std::span<const std::string> args) {
  std::string path;
  bool json = false, hash = false;
  const compat::CommandSpec spec{"btm-convert inspect",
                                 "Shows what is in a checkpoint, a DeMIX shard, a data-bin (a folder, or a split's prefix) or a dict.txt.",
                                 {{"PATH", "file, folder, or prefix of a data set", &path}},
                                 {{"Output",
                                   {compat::flag_switch("json", json, "as JSON, the configuration included"),
                                    compat::flag_switch("hash", hash, "add the SHA-256 of every tensor and of a data set's ids")}}},
                                 {}};
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
  const Json result = inspect(path, hash);
  if (json)
    std::cout << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  else
    print(result, "", std::cout);
  return 0;
}

}  // namespace converters
