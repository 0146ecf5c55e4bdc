// btm-convert verify: reads every byte of data-bins and checkpoints and says what is wrong.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "compat/checkpoint.h"
#include "compat/command_line.h"
#include "compat/error.h"
#include "compat/huggingface_folder.h"
#include "compat/safetensors.h"
#include "converters/commands.h"
#include "converters/data_sets.h"
#include "converters/tensor_ops.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMaxVerifyDepth = 6;

/// What was found, one entry a file or data set.
class Findings {
 public:
  /// Runs `check`, which returns what the thing is in words; what it throws is a problem.
  template <class Check>
  void add(const fs::path& path, const char* kind, Check&& check) {
    Json entry{{"path", path.string()}, {"kind", kind}, {"ok", true}};
    try {
      entry["found"] = check();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      entry["ok"] = false;
      entry["problem"] = error.what();
      ++problems_;
    }
    entries_.push_back(std::move(entry));
  }
  const Json& entries() const { return entries_; }
  std::size_t problems() const { return problems_; }

 private:
  Json entries_ = Json::array();
  std::size_t problems_ = 0;
};

std::string check_data_set(const fs::path& prefix, const compat::Dictionary* dictionary) {
  const auto dataset = open_data_set(prefix, dictionary);
  std::int64_t highest = -1;
  if (dictionary != nullptr) {
    compat::check_token_ids(*dataset, *dictionary);
  } else {
    for (std::int64_t i = 0; i < dataset->size(); ++i)
      for (const std::int64_t id : dataset->sequence(i)) {
        if (id < 0) throw compat::FormatError({dataset->path(), {}, {}}, "sequence " + std::to_string(i) + " holds the token id " + std::to_string(id));
        highest = std::max(highest, id);
      }
  }
  const fs::path bin = prefix.string() + ".bin";
  if (dataset->impl() == compat::DatasetImpl::kMmap && fs::exists(bin)) {
    const std::uint64_t needed = static_cast<std::uint64_t>(dataset->total_tokens()) * (dataset->dtype().ends_with("64") ? 8 : dataset->dtype().ends_with("32") ? 4 : dataset->dtype().ends_with("16") ? 2 : 1);
    if (const std::uint64_t there = fs::file_size(bin); there != needed)
      throw compat::FormatError({bin.string(), {}, {}}, "has " + std::to_string(there) + " bytes, its index accounts for " + std::to_string(needed));
  }
  std::string text = std::string(compat::impl_name(dataset->impl())) + ", " + std::to_string(dataset->size()) + " sequences, " +
                     std::to_string(dataset->total_tokens()) + " tokens";
  return dictionary != nullptr ? text + ", all in the dictionary" : text + ", highest id " + std::to_string(highest) + " (no dictionary)";
}

void check_finite(const std::string& name, const compat::TensorView& view, const std::string& file) {
  if (!is_floating(view.dtype())) {
    view.storage->stream([](std::span<const std::byte>) {});  // its checksum
    return;
  }
  std::int64_t at = 0;
  stream_floats(view, [&](std::span<const float> values) {
    for (const float value : values) {
      if (!std::isfinite(value))
        throw compat::FormatError({file, {}, {}}, "'" + compat::printable(name) + "' holds " + (std::isnan(value) ? "nan" : "inf") + " at element " + std::to_string(at));
      ++at;
    }
  });
}

/// Where in a tree a value lies: below `holder`, under `key` of a dict, or as an item (null).
struct Place {
  const compat::PickleNode* node = nullptr;
  std::size_t holder = 0;
  const compat::PickleNode* key = nullptr;
};

/// The keys that lead to a place, joined by dots: the innermost few. (Each place with a name of its own would take quadratic
/// memory in a tree of lists of lists.)
std::string name_of_place(const std::vector<Place>& places, std::size_t at) {
  constexpr std::size_t kLongest = 200;
  std::string name;
  for (; at != 0 && name.size() < kLongest; at = places[at].holder) {
    const auto* text = places[at].key == nullptr ? nullptr : places[at].key->get_if<std::string>();
    const auto* number = places[at].key == nullptr ? nullptr : places[at].key->get_if<std::int64_t>();
    const std::string part = text != nullptr ? text->substr(0, kLongest) : number != nullptr ? std::to_string(*number) : "[]";
    name = part + (name.empty() || name.starts_with('[') ? "" : ".") + name;
  }
  return name;
}

/// Every tensor of a pickled tree, shared ones once.
std::size_t check_tensors(const compat::PickleNode* start, const std::string& file) {
  std::unordered_set<const compat::PickleNode*> seen;
  std::vector<Place> places{{start, 0, nullptr}};
  std::vector<std::size_t> waiting{0};
  std::size_t tensors = 0;
  std::size_t at = 0;
  const auto push = [&](const compat::PickleNode* node, const compat::PickleNode* key = nullptr) {
    if (node == nullptr || !seen.insert(node).second) return;
    waiting.push_back(places.size());
    places.push_back({node, at, key});
  };
  const auto push_items = [&](const auto& items) {
    for (const auto& [key, value] : items) push(value, key);
  };
  while (!waiting.empty()) {
    at = waiting.back();
    waiting.pop_back();
    const compat::PickleNode* const node = places[at].node;
    if (const auto* tensor = node->get_if<compat::PickleTensor>()) {
      ++tensors;
      const std::string name = name_of_place(places, at);
      // fairseq saves this buffer as it came from the allocator.
      if (!name.ends_with("embed_positions._float_tensor")) check_finite(name, tensor->view, file);
    } else if (const auto* dict = node->get_if<compat::PickleDict>()) {
      push_items(dict->items);
    } else if (const auto* list = node->get_if<compat::PickleList>()) {
      for (const auto* item : list->items) push(item);
    } else if (const auto* tuple = node->get_if<compat::PickleTuple>()) {
      for (const auto* item : tuple->items) push(item);
    } else if (const auto* object = node->get_if<compat::PickleObject>()) {
      push(object->state);
      push_items(object->items);
    }
  }
  return tensors;
}

std::string check_checkpoint(const fs::path& path) {
  if (compat::Checkpoint::is_shared_half(path)) {
    const auto file = compat::load_torch_file(path);
    return "shared part of DeMIX experts, " + std::to_string(check_tensors(file.tree.root, file.path)) + " tensors, all finite";
  }
  const auto checkpoint = compat::Checkpoint::open(path);
  const std::size_t tensors = check_tensors(&checkpoint.root(), checkpoint.path());
  return std::string(checkpoint.format()) + ", " + std::to_string(tensors) + " tensors, all finite";
}

std::string check_dictionary(const fs::path& path) { return std::to_string(compat::Dictionary::load(path).size()) + " symbols"; }

void check_folder(const fs::path& folder, std::shared_ptr<const compat::Dictionary> dictionary, int depth, Findings& findings) {
  if (const fs::path path = folder / "dict.txt"; fs::exists(path)) {
    findings.add(path, "dictionary", [&] { return check_dictionary(path); });
    try {
      dictionary = std::make_shared<compat::Dictionary>(compat::Dictionary::load(path));
    } catch (const compat::FormatError&) {
      dictionary = nullptr;  // reported above
    }
  }
  if (compat::is_hugging_face_folder(folder)) {
    findings.add(folder, "checkpoint", [&] { return check_checkpoint(folder); });
    return;
  }
  for (const fs::path& prefix : splits_in(folder)) findings.add(prefix, "data set", [&] { return check_data_set(prefix, dictionary.get()); });
  std::set<fs::path> files, folders;
  for (const auto& entry : fs::directory_iterator(folder)) (entry.is_directory() ? folders : files).insert(entry.path());
  for (const fs::path& path : files)
    if (path.extension() == ".pt" || path.extension() == ".safetensors") findings.add(path, "checkpoint", [&] { return check_checkpoint(path); });
  if (depth < kMaxVerifyDepth)
    for (const fs::path& path : folders) check_folder(path, dictionary, depth + 1, findings);
}

void check_path(const fs::path& path, Findings& findings) {
  if (const fs::path prefix = data_set_prefix(path); !prefix.empty()) {
    const auto dictionary = dictionary_beside(prefix);
    findings.add(prefix, "data set", [&] { return check_data_set(prefix, dictionary.get()); });
  } else if (fs::is_directory(path)) {
    check_folder(path, nullptr, 0, findings);
  } else if (!fs::exists(path)) {
    throw compat::IoError(path.string(), "no such file or folder");
  } else if (path.extension() == ".txt") {
    findings.add(path, "dictionary", [&] { return check_dictionary(path); });
  } else {
    findings.add(path, "checkpoint", [&] { return check_checkpoint(path); });
  }
}

}  // namespace

int run_verify(std::span<const std::string> args) {
  std::string path;
  bool json = false;
  const compat::CommandSpec spec{"btm-convert verify",
                                 "Reads every byte of a data set, a dict.txt, a checkpoint, or of all in a folder: sizes, pointers, checksums, "
                                 "token ids within the dictionary, finite weights. Status 1 when something is wrong.",
                                 {{"PATH", "file, folder, or prefix of a data set", &path}},
                                 {{"Output", {compat::flag_switch("json", json, "as JSON")}}},
                                 {}};
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
  Findings findings;
  check_path(path, findings);
  if (findings.entries().empty()) throw compat::IoError(path, "holds nothing that can be verified");
  if (json) {
    const Json result{{"ok", findings.problems() == 0}, {"problems", findings.problems()}, {"checked", findings.entries()}};
    std::cout << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    for (const Json& entry : findings.entries()) {
      const bool ok = entry["ok"];
      std::cout << (ok ? "ok   " : "BAD  ") << compat::printable(entry["path"].get<std::string>(), 4096) << ": "
                << (ok ? entry["found"] : entry["problem"]).get<std::string>() << "\n";
    }
    std::cout << findings.entries().size() << " checked, " << findings.problems() << " with problems\n";
  }
  return findings.problems() == 0 ? 0 : 1;
}

}  // namespace converters
