// btm-convert verify: reads every byte of data-bins and checkpoints and reports problems.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/forest.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/program/command_line.h"
#include "compat/torch/finite.h"
#include "converters/commands.h"
#include "converters/data_sets.h"
#include "converters/model_file.h"
#include "converters/tensor_ops.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMaxVerifyDepth = 6;
constexpr const char* kForestManifest = "forest.json";

/// The results, one entry per file or data set.
class Findings {
 public:
  /// Runs `check`, which returns a description. An exception is recorded as a problem.
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

/// The highest token id of a data set without a dictionary, -1 where there is none. FormatError
/// for a negative one.
std::int64_t highest_id(const compat::IndexedDataset& dataset) {
  std::int64_t highest = -1;
  for (std::int64_t i = 0; i < dataset.size(); ++i)
    for (const std::int64_t id : dataset.sequence(i)) {
      if (id < 0)
        throw compat::FormatError({dataset.path(), {}, {}},
                                  compat::concat("sequence ", i, " holds the token id ", id));
      highest = std::max(highest, id);
    }
  return highest;
}

/// FormatError where the .bin file is longer or shorter than the index says.
void check_size_of_bin(const compat::IndexedDataset& dataset, const fs::path& prefix) {
  const fs::path bin = prefix.string() + ".bin";
  if (dataset.impl() != compat::DatasetImpl::kMmap || !fs::exists(bin)) return;
  const std::uint64_t token_size = compat::token_type_for(dataset.impl(), 0, dataset.dtype()).size;
  const std::uint64_t needed = static_cast<std::uint64_t>(dataset.total_tokens()) * token_size;
  const std::uint64_t there = fs::file_size(bin);
  if (there != needed)
    throw compat::FormatError(
        {bin.string(), {}, {}},
        compat::concat("has ", there, " bytes, its index describes ", needed));
}

std::string check_data_set(const fs::path& prefix, const compat::Dictionary* dictionary) {
  const auto dataset = open_data_set(prefix, dictionary);
  std::string ids = "all in the dictionary";
  if (dictionary != nullptr)
    compat::check_token_ids(*dataset, *dictionary);
  else
    ids = compat::concat("highest id ", highest_id(*dataset), " (no dictionary)");
  check_size_of_bin(*dataset, prefix);
  return compat::concat(compat::impl_name(dataset->impl()), ", ", dataset->size(), " sequences, ",
                        dataset->total_tokens(), " tokens, ", ids);
}

void check_tensor(const std::string& name, const compat::TensorView& view,
                  const std::string& file) {
  if (!is_floating(view.dtype())) {
    view.storage->stream([](std::span<const std::byte>) {});  // checks the checksum
    return;
  }
  std::uint64_t at = 0;
  stream_floats(view, [&](std::span<const float> values) {
    compat::check_finite(std::as_bytes(values), compat::DType::kFloat32, file, name, at);
    at += values.size();
  });
}

std::string check_model(const fs::path& path) {
  const ModelFile file = open_model_file(path);
  if (file.is_damaged) throw std::runtime_error(file.why_not);
  std::unordered_set<const compat::PickleNode*>
      seen;  // a pickle may refer to a tensor more than once
  std::size_t tensors = 0;
  for_each_tensor(file, [&](const std::string& name, const compat::PickleNode* node,
                            const compat::TensorView& view) {
    if (node != nullptr && !seen.insert(node).second) return;
    ++tensors;
    if (!compat::is_unset_buffer(name)) check_tensor(name, view, path.string());
  });
  const bool is_model = file.checkpoint || file.kind == "demix shared part";
  return compat::concat(is_model ? file.layout : file.kind, ", ", tensors, " tensors, all finite",
                        file.lacks_checksums
                            ? "; the file has no checksums, so changed numbers are not detected"
                            : "",
                        is_model ? "" : " (not a model of fairseq: " + file.why_not + ")");
}

std::string check_dictionary(const fs::path& path) {
  return compat::concat(compat::Dictionary::load(path).size(), " symbols");
}

/// What forest.json says, and the experts that it names but that are not there. The files that are
/// there are verified as all others.
void check_forest(const fs::path& folder, Findings& findings) {
  compat::Forest forest;
  const fs::path manifest = folder / kForestManifest;
  findings.add(manifest, "forest", [&] {
    forest = compat::open_forest(folder);
    return compat::concat(forest.experts.size(), " experts");
  });
  for (const compat::ForestExpert& expert : forest.experts) {
    const fs::path path = forest.checkpoint_of(expert);
    if (!expert.complete || fs::exists(path)) continue;
    findings.add(path, "expert", [&]() -> std::string {
      throw compat::IoError(path.string(), "does not exist, but " +
                                               compat::printable(manifest.string(), 4096) +
                                               " names it as the expert " + expert.name);
    });
  }
}

void check_folder(const fs::path& folder, std::shared_ptr<const compat::Dictionary> dictionary,
                  int depth, Findings& findings) {
  if (const fs::path path = folder / "dict.txt"; fs::exists(path)) {
    findings.add(path, "dictionary", [&] { return check_dictionary(path); });
    try {
      dictionary = std::make_shared<compat::Dictionary>(compat::Dictionary::load(path));
    } catch (const compat::FormatError&) {
      dictionary = nullptr;  // reported above
    }
  }
  if (fs::exists(folder / kForestManifest)) check_forest(folder, findings);
  if (compat::is_hugging_face_folder(folder)) {
    findings.add(folder, "model", [&] { return check_model(folder); });
    return;
  }
  for (const fs::path& path : language_dictionaries_in(folder))
    findings.add(path, "dictionary", [&] { return check_dictionary(path); });
  for (const fs::path& prefix : splits_in(folder))
    findings.add(prefix, "data set", [&] {
      const fs::path own = folder / dictionary_name(prefix);
      if (own.filename() == "dict.txt" || !fs::exists(own))
        return check_data_set(prefix, dictionary.get());
      const auto of_language = compat::Dictionary::load(own);
      return check_data_set(prefix, &of_language);
    });
  std::set<fs::path> files, folders;
  for (const auto& entry : fs::directory_iterator(folder))
    (entry.is_directory() ? folders : files).insert(entry.path());
  for (const fs::path& path : files)
    if (path.extension() == ".pt" || path.extension() == ".safetensors")
      findings.add(path, "model", [&] { return check_model(path); });
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
  } else if (fs::is_regular_file(path) && fs::file_size(path) == 0) {
    findings.add(path, "file", [&]() -> std::string {
      throw compat::FormatError({path.string(), {}, {}}, "is empty: a file of no bytes");
    });
  } else if (path.extension() == ".txt") {
    findings.add(path, "dictionary", [&] { return check_dictionary(path); });
  } else {
    findings.add(path, "model", [&] { return check_model(path); });
  }
}

struct VerifyCommand {
  std::string path;
  bool json = false;

  compat::CommandSpec spec() {
    return {
        "btm-convert verify",
        std::string(
            "Reads every byte of a data set, a dict.txt, a model, or of all in a folder: sizes, "
            "pointers, checksums, token ids within the dictionary, finite weights, the experts "
            "that "
            "a forest.json names. Status 1 when something is wrong. ") +
            compat::kWhatAModelIs,
        {{"PATH", "file, folder, or prefix of a data set", &path}},
        {{"Output", {compat::flag_switch("json", json, "print JSON")}}},
        {}};
  }

  int run() {
    Findings findings;
    check_path(path, findings);
    if (findings.entries().empty())
      throw compat::IoError(path, "contains nothing that can be verified");
    if (json) {
      const Json result{{"ok", findings.problems() == 0},
                        {"problems", findings.problems()},
                        {"checked", findings.entries()}};
      std::cout << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    } else {
      for (const Json& entry : findings.entries()) {
        const bool ok = entry["ok"];
        std::cout << (ok ? "ok   " : "BAD  ")
                  << compat::printable(entry["path"].get<std::string>(), 4096) << ": "
                  << (ok ? entry["found"] : entry["problem"]).get<std::string>() << "\n";
      }
      std::cout << findings.entries().size() << " checked, " << findings.problems()
                << " with problems\n";
    }
    return findings.problems() == 0 ? 0 : 1;
  }
};

}  // namespace

compat::CommandSpec verify_spec() { return compat::spec_owning<VerifyCommand>(); }

int run_verify(std::span<const std::string> args) { return compat::run_as<VerifyCommand>(args); }

}  // namespace converters
