#include <algorithm>
#include <array>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/expert_add.h"
#include "btm/cli/forest_table.h"
#include "btm/ensemble/ensemble_eval.h"
#include "compat/base/error.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/file_lock.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

int run_add(std::span<const std::string> args) {
  ExpertAddOptions options;
  BatchingOptions& batching = options.batching;
  batching.batch_size = kEnsembleBatchSize;
  std::string forest;
  const auto separator = std::ranges::find(args, "--");
  const std::span<const std::string> own(args.begin(), separator);
  if (separator != args.end()) options.train_flags.assign(separator + 1, args.end());
  const compat::CommandSpec spec{
      "btm expert add",
      std::string("Adds an expert to a forest: starts from its experts, trains on the new domain "
                  "with btm train, which gets the flags after --, and enters the expert into the "
                  "manifest. Trains nothing else. The same command resumes an interrupted "
                  "addition. ") +
          compat::kWhatAModelIs,
      {{"FOREST", "the folder", &forest}, {"DOMAIN", "the new domain", &options.domain}},
      {{"Expert",
        {flag_text("data", "DATA-BIN", options.data,
                   "the new domain's data-bin folder (with dict.txt)"),
         flag_text("from", "START", options.from,
                   "posterior: the average weighted by the domain posterior on the new data (the "
                   "default); nearest: the expert with the lowest loss there; an expert's name; a "
                   "model, such as the seed for a new forest"),
         flag_text("name", "NAME", options.name,
                   "name of the expert and its folder (default: DOMAIN)")}},
       {"Choosing the start",
        {flag_text("split,gen-subset", "SPLIT", options.split,
                   "of DATA-BIN (default: valid_DOMAIN, or valid)"),
         flag_integer("prior-batches", "N", options.prior_batches,
                      "use the posterior after batch N, counted from 0", 1),
         flag_integer("max-samples", "N", batching.max_samples,
                      "compute losses up to batch N, counted from 0; 0: all", 0),
         tokens_per_sample_flag(batching), batch_size_flag(batching), max_tokens_flag(batching)}},
       machine_flags(options.machine),
       log_flags(options.log)},
      {}};
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, own, std::cout, ignored)) return 0;
  if (options.data.empty()) throw compat::UsageError("missing --data");
  options.forest = forest;
  return add_expert(std::move(options));
}

int run_remove(std::span<const std::string> args) {
  std::string folder, name;
  bool remove_files = false;
  const compat::CommandSpec spec{
      "btm expert remove",
      "Takes an expert out of a forest's manifest. Its files stay.",
      {{"FOREST", "the folder", &folder}, {"NAME", "the expert", &name}},
      {{"Files",
        {flag_switch("delete", remove_files, "delete FOREST/NAME with all that is in it")}}},
      {}};
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
  compat::check_expert_name(name);
  const compat::Forest forest = compat::open_forest(folder);
  const compat::ForestExpert* expert = forest.find(name);
  std::vector<std::string> names;
  for (const compat::ForestExpert& other : forest.experts) names.push_back(other.name);
  if (expert == nullptr) {
    const std::string near = compat::nearest_name(name, names);
    throw compat::UsageError("no expert '" + name + "' in " + compat::printable(folder, 4096) +
                             (near.empty() ? "" : ", did you mean " + near + "?"));
  }
  for (const compat::ForestExpert& other : forest.experts)
    if (!other.complete &&
        std::ranges::find(other.parents, name, &compat::ForestParent::model) != other.parents.end())
      throw compat::UsageError("expert '" + other.name + "' starts from '" + name +
                               "' and is not complete; remove it first");
  const std::filesystem::path files = forest.folder / name;
  if (remove_files && expert->path.parent_path() != name)
    throw compat::UsageError("expert '" + name + "' is " +
                             compat::printable(expert->path.string(), 4096) +
                             ", not in a folder of its own: --delete is not possible");
  std::optional<compat::FileLock> lock;
  if (std::filesystem::exists(files / ".lock"))
    lock.emplace(compat::FileLock::now(files / ".lock"));
  compat::change_forest(folder, [&](compat::Forest& now) {
    std::erase_if(now.experts,
                  [&](const compat::ForestExpert& other) { return other.name == name; });
  });
  if (remove_files) std::filesystem::remove_all(files);
  std::cout << name
            << (remove_files ? " removed with its files"
                             : " removed; its files stay in " + files.string())
            << std::endl;
  return 0;
}

int run_list(std::span<const std::string> args) {
  std::string folder;
  bool json = false;
  const compat::CommandSpec spec{"btm expert list",
                                 "Lists the experts of a forest.",
                                 {{"FOREST", "the folder", &folder}},
                                 {{"Output", {flag_switch("json", json, "as JSON")}}},
                                 {}};
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
  json ? print_forest_json(compat::open_forest(folder), std::cout)
       : print_forest(compat::open_forest(folder), std::cout);
  return 0;
}

constexpr std::array kExpertCommands{
    compat::Command{"add", "start an expert from existing ones and train it", run_add},
    compat::Command{"remove", "take an expert out of the manifest", run_remove},
    compat::Command{"list", "the experts, what they were started from, updates, perplexity",
                    run_list},
};

}  // namespace

int run_expert(std::span<const std::string> args) {
  return compat::run_subcommand(
      "btm expert", "Adds experts to a forest, removes and lists them. Trains nothing else again.",
      kExpertCommands, args);
}

}  // namespace btm
