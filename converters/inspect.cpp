// btm-convert inspect: shows what a file or folder of fairseq contains, as text or as JSON.
#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/error.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/io/sha256.h"
#include "compat/program/command_line.h"
#include "converters/commands.h"
#include "converters/data_sets.h"
#include "converters/inspect_model.h"
#include "converters/model_file.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json dictionary_json(const fs::path& path) {
  const compat::Dictionary dictionary = compat::Dictionary::load(path);
  std::int64_t padding = 0;
  for (std::int64_t i = 0; i < dictionary.size(); ++i)
    padding += dictionary.symbol(i).starts_with("madeupword") ? 1 : 0;
  return {{"kind", "dictionary"},
          {"file", path.string()},
          {"symbols", dictionary.size()},
          {"special", 4},
          {"madeupwords", padding},
          {compat::kDictionaryKey, compat::dictionary_sha256(dictionary)}};
}

/// `dictionary` is needed only for raw text.
Json dataset_json(const fs::path& prefix, const compat::Dictionary* dictionary, bool hash) {
  const auto dataset = open_data_set(prefix, dictionary);
  const auto sizes = dataset->sizes();
  Json json{{"kind", "data set"},
            {"prefix", prefix.string()},
            {"implementation", compat::impl_name(dataset->impl())},
            {"dtype", dataset->dtype()},
            {"sequences", dataset->size()},
            {"tokens", dataset->total_tokens()},
            {"longest", sizes.empty() ? 0 : *std::ranges::max_element(sizes)}};
  if (hash) {
    // The digest of the ids as int64, so that equal content gives equal digests in every form.
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

/// A damaged member is reported in its place, so that the rest of a folder is still shown.
template <class Describe>
Json described(const fs::path& path, Describe&& describe) {
  try {
    return describe();
  } catch (const std::exception& error) {
    return {{"kind", "unreadable"}, {"file", path.string()}, {"error", error.what()}};
  }
}

bool holds_something(const Json& folder) {
  if (folder["kind"] != "folder" || !folder["dictionary"].is_null()) return true;
  return std::ranges::any_of(std::array{"dictionaries", "splits", "checkpoints", "folders"},
                             [&](const char* members) { return !folder[members].empty(); });
}

Json members_json(const fs::path& folder, const compat::Dictionary* dictionary, int depth,
                  bool hash) {
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

Json brief_model_json(const fs::path& path, bool hash) {
  Json json = model_json(path, hash);
  if (!hash) json.erase("tensors"), json.erase("cfg");
  return json;
}

Json folder_json(const fs::path& folder, const compat::Dictionary* inherited, int depth,
                 bool hash) {
  if (compat::is_hugging_face_folder(folder)) return brief_model_json(folder, hash);
  Json json{{"kind", "folder"},        {"folder", folder.string()},
            {"dictionary", nullptr},   {"dictionaries", Json::array()},
            {"splits", Json::array()}, {"checkpoints", Json::array()},
            {"folders", Json::array()}};
  std::set<fs::path> models;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".pt" || entry.path().extension() == ".safetensors")
      models.insert(entry.path());
  std::map<std::string, compat::Dictionary> known;  // by name
  const auto describe_dictionary = [&](const fs::path& path) {
    Json described_one = described(path, [&] { return dictionary_json(path); });
    if (described_one["kind"] == "dictionary")
      known.emplace(path.filename().string(), compat::Dictionary::load(path));
    return described_one;
  };
  if (fs::exists(folder / "dict.txt"))
    json["dictionary"] = describe_dictionary(folder / "dict.txt");
  for (const fs::path& path : language_dictionaries_in(folder))
    json["dictionaries"].push_back(describe_dictionary(path));
  const auto dictionary_of = [&](const std::string& name) {
    const auto found = known.find(name);
    return found == known.end() ? nullptr : &found->second;
  };
  const compat::Dictionary* const shared =
      known.contains("dict.txt") ? dictionary_of("dict.txt") : inherited;
  for (const fs::path& prefix : splits_in(folder)) {
    const compat::Dictionary* const own = dictionary_of(dictionary_name(prefix));
    json["splits"].push_back(described(
        prefix, [&] { return dataset_json(prefix, own != nullptr ? own : shared, hash); }));
  }
  std::set<Json> shown;  // files of models: several files can stand for one
  for (const fs::path& path : models) {
    Json model = described(path, [&] { return brief_model_json(path, hash); });
    const auto files = model.find("files");
    if (files == model.end() || shown.insert(*files).second)
      json["checkpoints"].push_back(std::move(model));
  }
  if (depth < 4) json["folders"] = members_json(folder, shared, depth, hash);
  return json;
}

Json inspect(const fs::path& path, bool hash) {
  if (compat::is_hugging_face_folder(path)) return model_json(path, hash);
  if (fs::is_directory(path)) {
    Json json = folder_json(path, nullptr, 0, hash);
    if (!holds_something(json))
      throw compat::IoError(path.string(), "contains no dictionary, data set or model");
    return json;
  }
  if (const fs::path prefix = data_set_prefix(path); !prefix.empty()) {
    const auto dictionary = dictionary_beside(prefix);
    return dataset_json(prefix, dictionary.get(), hash);
  }
  if (!fs::exists(path)) throw compat::IoError(path.string(), "no such file or folder");
  if (!fs::is_regular_file(path) || looks_like_model_file(path)) return model_json(path, hash);
  if (fs::file_size(path) == 0)
    throw compat::FormatError({path.string(), {}, {}}, "is empty: a file of no bytes");
  return dictionary_json(path);
}

// Output as text.

void print(const Json& json, const std::string& indent, ShownTensors tensors, std::ostream& out) {
  const std::string kind = json["kind"];
  if (kind == "unreadable") {
    out << indent << "unreadable: " << json["error"].get<std::string>() << "\n";
  } else if (kind == "dictionary") {
    out << indent << "dictionary " << text_of(json["file"]) << ": " << json["symbols"]
        << " symbols, of them " << json["special"] << " special and " << json["madeupwords"]
        << " madeupwords, digest " << text_of(json[compat::kDictionaryKey]) << "\n";
  } else if (kind == "data set") {
    out << indent << "data set " << text_of(json["prefix"]) << ": "
        << text_of(json["implementation"]) << " (" << text_of(json["dtype"]) << "), "
        << json["sequences"] << " sequences, " << json["tokens"] << " tokens, longest "
        << json["longest"];
    if (json.contains("sha256_ids")) out << ", ids " << text_of(json["sha256_ids"]);
    out << "\n";
  } else if (kind == "folder") {
    out << indent << "folder " << text_of(json["folder"]) << "\n";
    if (!json["dictionary"].is_null()) print(json["dictionary"], indent + "  ", tensors, out);
    for (const char* const members : {"dictionaries", "splits", "folders", "checkpoints"})
      for (const Json& member : json[members]) print(member, indent + "  ", tensors, out);
  } else {
    print_model(json, indent, tensors, out);
  }
}

struct InspectCommand {
  std::string path;
  bool json = false, hash = false, tensors = false;

  compat::CommandSpec spec() {
    return {
        "btm-convert inspect",
        std::string(
            "Shows what is in a model or any other file of torch.save, a data-bin (a folder, "
            "or a split's prefix), a dict.txt, or all of these in a folder. ") +
            compat::kWhatAModelIs,
        {{"PATH", "file, folder, or prefix of a data set", &path}},
        {{"Output",
          {compat::flag_switch("tensors", tensors, "list every tensor"),
           compat::flag_switch("json", json, "print JSON, with the configuration and all tensors"),
           compat::flag_switch("hash", hash,
                               "add the SHA-256 of every tensor and of the ids of a data set")}}},
        {}};
  }

  int run() {
    const Json result = inspect(path, hash);
    if (json)
      std::cout << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    else
      print(result, "", tensors || hash ? ShownTensors::kAll : ShownTensors::kSome, std::cout);
    return 0;
  }
};

}  // namespace

compat::CommandSpec inspect_spec() { return compat::spec_owning<InspectCommand>(); }

int run_inspect(std::span<const std::string> args) { return compat::run_as<InspectCommand>(args); }

}  // namespace converters
