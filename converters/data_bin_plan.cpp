#include "converters/data_bin_plan.h"

#include <algorithm>
#include <map>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "converters/data_sets.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using DictionaryPtr = std::shared_ptr<const compat::Dictionary>;

constexpr int kMaxPlanDepth = 4;

class Planner {
 public:
  Planner(const fs::path& new_dictionary, bool allow_unknown)
      : new_path_(new_dictionary), allow_unknown_(allow_unknown) {
    if (!new_path_.empty())
      new_dictionary_ = std::make_shared<compat::Dictionary>(compat::Dictionary::load(new_path_));
  }

  void add_folder(const fs::path& folder, const fs::path& relative, fs::path dictionary,
                  int depth) {
    if (fs::exists(folder / "dict.txt")) {
      dictionary = folder / "dict.txt";
      dictionaries_.emplace(relative / "dict.txt", new_path_.empty() ? dictionary : new_path_);
    }
    for (const fs::path& prefix : splits_in(folder))
      add_data_set(prefix, relative / prefix.filename(), dictionary);
    if (depth == kMaxPlanDepth) return;
    std::set<fs::path> inner;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.is_directory()) inner.insert(entry.path());
    for (const fs::path& path : inner)
      add_folder(path, relative / path.filename(), dictionary, depth + 1);
  }

  void add_data_set(const fs::path& prefix, const fs::path& target,
                    const fs::path& dictionary_path) {
    DatasetPart part;
    part.dictionary = dictionary(dictionary_path);
    part.dataset = open_data_set(prefix, part.dictionary.get());
    Split& split = splits_[target];
    if (new_dictionary_ == nullptr) {
      check_same_dictionary(split, part.dictionary, prefix);
    } else if (part.dictionary == nullptr) {
      throw compat::UsageError(
          compat::printable(prefix.string(), 4096) +
          ": no dict.txt beside it or in the folder above, but --dict maps ids by their symbols");
    } else if (!(*part.dictionary == *new_dictionary_)) {
      part.new_ids = map_symbols(*part.dictionary, *new_dictionary_, allow_unknown_);
    }
    split.dictionary = new_dictionary_ != nullptr ? new_dictionary_ : part.dictionary;
    split.parts.push_back(std::move(part));
  }

  void add_dictionary(const fs::path& target, const fs::path& source) {
    if (!new_path_.empty() || !source.empty())
      dictionaries_.emplace(target, new_path_.empty() ? source : new_path_);
  }

  DataBinPlan plan(bool is_folder, const DataBinSelection& selection) const;

 private:
  struct Split {
    std::vector<DatasetPart> parts;
    DictionaryPtr dictionary;
  };

  DictionaryPtr dictionary(const fs::path& path) {
    if (path.empty()) return nullptr;
    DictionaryPtr& loaded = loaded_[path];
    if (loaded == nullptr)
      loaded = std::make_shared<compat::Dictionary>(compat::Dictionary::load(path));
    return loaded;
  }

  static void check_same_dictionary(const Split& split, const DictionaryPtr& dictionary,
                                    const fs::path& prefix) {
    if (split.parts.empty()) return;
    const bool same =
        split.dictionary == dictionary ||
        (split.dictionary != nullptr && dictionary != nullptr && *split.dictionary == *dictionary);
    if (!same)
      throw compat::UsageError(compat::printable(prefix.string(), 4096) +
                               ": has another dictionary than the data to join it with (--dict "
                               "maps all to one dictionary)");
  }

  fs::path new_path_;
  bool allow_unknown_;
  DictionaryPtr new_dictionary_;
  std::map<fs::path, DictionaryPtr> loaded_;
  std::map<fs::path, Split> splits_;
  std::map<fs::path, fs::path> dictionaries_;  // target, source
};

/// The target of shard `k`. In a folder it is SHARD/PATH. For a single data set it is NAME, NAME1,
/// NAME2, ..., which fairseq reads as one.
fs::path shard_target(const fs::path& target, bool is_folder, std::int64_t k) {
  if (is_folder) return fs::path(compat::concat("shard", k)) / target;
  return k == 0 ? target : fs::path(compat::concat(target.string(), k));
}

DataBinPlan Planner::plan(bool is_folder, const DataBinSelection& selection) const {
  DataBinPlan plan;
  plan.is_folder = is_folder;
  const bool sharded = selection.shards > 1;
  for (const auto& [target, split] : splits_) {
    const auto all = std::make_shared<const DatasetView>(split.parts);
    std::vector<std::int64_t> order =
        parse_ranges(selection.sequences.empty() ? ":" : selection.sequences, all->size());
    if (selection.shuffle >= 0)
      order = shuffled(std::move(order), static_cast<std::uint64_t>(selection.shuffle));
    // Evaluation sets are not divided: fairseq reads them from the first shard.
    const bool is_cut = !is_folder || target.filename().string().starts_with("train");
    const std::int64_t shards = is_cut ? selection.shards : 1;
    const auto size = static_cast<std::int64_t>(order.size());
    for (std::int64_t k = 0; k < shards; ++k) {
      const auto start = order.begin() + size / shards * k + std::min(k, size % shards);
      const auto count = size / shards + (k < size % shards ? 1 : 0);
      plan.jobs.push_back({sharded ? shard_target(target, is_folder, k) : target,
                           std::make_shared<const DatasetView>(
                               *all, std::vector<std::int64_t>(start, start + count)),
                           split.dictionary});
    }
  }
  for (const auto& [target, source] : dictionaries_) {
    const std::int64_t copies = sharded && is_folder ? selection.shards : 1;
    for (std::int64_t k = 0; k < copies; ++k)
      plan.dictionaries.emplace_back(source, copies > 1 ? shard_target(target, true, k) : target);
  }
  return plan;
}

}  // namespace

DataBinPlan plan_data_bin(const std::vector<std::string>& inputs, const fs::path& new_dictionary,
                          bool allow_unknown, const std::string& output_name,
                          const DataBinSelection& selection) {
  Planner planner(new_dictionary, allow_unknown);
  bool is_folder = false;
  for (const std::string& input : inputs) {
    const fs::path prefix = data_set_prefix(input);
    const bool folder = prefix.empty() && fs::is_directory(input);
    if (&input != &inputs.front() && folder != is_folder)
      throw compat::UsageError("'" + compat::printable(input, 4096) + "' and '" +
                               compat::printable(inputs.front(), 4096) +
                               "': a folder and a data set, expected inputs of one kind");
    is_folder = folder;
    if (folder) {
      planner.add_folder(input, {}, {}, 0);
      continue;
    }
    if (prefix.empty()) throw compat::IoError(input, "no data set or folder of this name");
    const fs::path dictionary = dictionary_path_beside(prefix);
    planner.add_data_set(prefix, output_name, dictionary);
    planner.add_dictionary("dict.txt", dictionary);
  }
  return planner.plan(is_folder, selection);
}

}  // namespace converters
