#include <algorithm>
#include <array>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/expert_add.h"
#include "btm/cli/expert_life.h"
#include "btm/cli/expert_text.h"
#include "btm/cli/forest_table.h"
#include "btm/ensemble/ensemble_eval.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/nearest_name.h"
#include "compat/checkpoint/expert_check.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/file_lock.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_real;
using compat::flag_switch;
using compat::flag_text;

/// A flag that is also one of btm train: its uses are noted in `words`.
compat::Flag also_of_train(compat::Flag flag, std::vector<std::string>& words) {
  const std::string name = compat::dashed(compat::split_names(flag.names).front());
  flag.apply = [name, apply = std::move(flag.apply), &words](const std::string& value) {
    apply(value);
    words.insert(words.end(), {name, value});
  };
  return flag;
}

/// A flag of btm train, which checks its value.
compat::Flag of_train(std::string name, std::string value, std::vector<std::string>& words,
                      std::string help) {
  return also_of_train({std::move(name), std::move(value), std::move(help), "", [](const auto&) {}},
                       words);
}

struct ExpertAdd {
  ExpertAddOptions options;
  std::string forest;

  ExpertAdd() { options.batching.batch_size = kEnsembleBatchSize; }

  compat::CommandSpec spec() {
    BatchingOptions& batching = options.batching;
    std::vector<std::string>& train = options.common_flags;
    return {
        "btm expert add",
        std::string("Adds an expert to a forest: starts from its experts, trains on the new "
                    "domain with btm train, and enters the expert into the manifest. Trains "
                    "nothing else. TEXT is prepared with the forest's dictionary and tokenizer. "
                    "Without flags after -- the expert is trained as the others were. The same "
                    "command resumes an interrupted addition. Without TEXT and --data it takes up "
                    "an expert that was removed, or a folder with a checkpoint that the manifest "
                    "does not name: nothing is trained. ") +
            compat::kWhatAModelIs,
        {{"FOREST", compat::kForestHelp, &forest},
         {"DOMAIN", "the new domain", &options.domain},
         {.name = "TEXT",
          .help = "files or folders of its text, one document a line, as btm-convert preprocess "
                  "takes them",
          .rest = &options.texts,
          .optional = true}},
        {{"Expert",
          {flag_text("data", "DATA-BIN", options.data,
                     "in place of TEXT: the new domain's data-bin folder (with dict.txt)"),
           flag_real("held-out", "F", options.held_out,
                     "share of TEXT for valid, and as much for test", 0.001, 0.4),
           flag_text(
               "from", "START", options.from,
               "posterior: the average weighted by the domain posterior on the new data (the "
               "default); nearest: the expert with the lowest loss there; an expert's name; a "
               "model, such as the seed for a new forest"),
           flag_text("name", "NAME", options.name,
                     "name of the expert and its folder (default: DOMAIN)")}},
         {"Choosing the start",
          {flag_text("without", "LIST", options.without,
                     "experts that posterior and nearest leave out, comma separated"),
           flag_text("split,gen-subset", "SPLIT", options.split,
                     "of DATA-BIN (default: valid_DOMAIN, or valid)"),
           flag_integer("prior-batches", "N", options.prior_batches,
                        "use the posterior after batch N, counted from 0", 1),
           flag_integer("max-samples", "N", batching.max_samples,
                        "compute losses up to batch N, counted from 0; 0: all", 0)}},
         {"Training (as the others were, where not given), and batches for choosing the start",
          {of_train("max-update", "N", train, "stop after update N"),
           of_train("lr", "LR", train, "the highest learning rate"),
           of_train("update-freq", "N", train, "batches of an update"),
           also_of_train(tokens_per_sample_flag(batching), train),
           also_of_train(batch_size_flag(batching), train),
           also_of_train(max_tokens_flag(batching), train)}},
         compat::tokenizer_flags(options.tokenizer),
         machine_flags(options.machine),
         log_flags(options.log)},
        {},
        {},
        {"FLAGS",
         "all flags of btm train: with any of them the training of the others is no example; "
         "without --arch the expert has their form",
         nullptr, &options.train_flags}};
  }

  int run() {
    options.forest = forest;
    if (!options.texts.empty())
      if (const int status = prepare_text(options); status != 0) return status;
    if (options.data.empty()) return take_up_expert(options);
    return add_expert(std::move(options));
  }
};

struct ExpertRemove {
  std::string folder, name;
  bool remove_files = false;

  compat::CommandSpec spec() {
    return {
        "btm expert remove",
        "Takes an expert out of a forest. Its files stay, and btm expert add FOREST NAME brings it "
        "back.",
        {{"FOREST", compat::kForestHelp, &folder}, {"NAME", "the expert", &name}},
        {{"Files",
          {flag_switch("delete", remove_files, "delete FOREST/NAME with all that is in it")}}},
        {}};
  }

  int run() {
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
      if (!other.complete && std::ranges::find(other.parents, name, &compat::ForestParent::model) !=
                                 other.parents.end())
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
      const auto named = [&](const compat::ForestExpert& other) { return other.name == name; };
      std::erase_if(now.removed, named);
      if (const compat::ForestExpert* gone = now.find(name); gone != nullptr && !remove_files)
        now.removed.push_back(*gone);
      std::erase_if(now.experts, named);
    });
    if (remove_files) std::filesystem::remove_all(files);
    std::cout << name
              << (remove_files ? " removed with its files"
                               : " removed; its files stay in " + files.string())
              << std::endl;
    return 0;
  }
};

struct ExpertRename {
  std::string folder, old_name, new_name;

  compat::CommandSpec spec() {
    return {"btm expert rename",
            "Renames an expert of a forest, and its folder.",
            {{"FOREST", compat::kForestHelp, &folder},
             {"OLD", "the expert", &old_name},
             {"NEW", "its new name", &new_name}},
            {},
            {}};
  }

  int run() {
    rename_expert(folder, old_name, new_name);
    std::cout << old_name << " is now " << new_name << std::endl;
    return 0;
  }
};

struct ExpertCheck {
  std::string folder;

  compat::CommandSpec spec() {
    return {"btm expert check",
            "Compares a forest's manifest with its files: that they are there, can be opened, have "
            "one dictionary and tensors of the same sizes. Reads no weights (btm-convert verify "
            "does). Ends with status 1 when something is wrong.",
            {{"FOREST", compat::kForestHelp, &folder}},
            {},
            {}};
  }

  int run() {
    int wrong = 0;
    for (const compat::ExpertFinding& finding : compat::check_forest(compat::open_forest(folder))) {
      std::cout << finding.expert << ": " << (finding.problem.empty() ? "ok" : finding.problem)
                << "\n";
      wrong += finding.problem.empty() ? 0 : 1;
    }
    if (wrong > 0)
      throw compat::IoError(folder, compat::concat(wrong,
                                                   " of its experts are not as they should "
                                                   "be (see above)"));
    std::cout << "nothing is wrong" << std::endl;
    return 0;
  }
};

struct ExpertList {
  std::string folder;
  bool json = false;

  compat::CommandSpec spec() {
    return {"btm expert list",
            "Lists the experts of a forest.",
            {{"FOREST", compat::kForestHelp, &folder}},
            {{"Output", {flag_switch("json", json, "as JSON")}}},
            {}};
  }

  int run() {
    json ? print_forest_json(compat::open_forest(folder), std::cout)
         : print_forest(compat::open_forest(folder), std::cout);
    return 0;
  }
};

constexpr std::array kExpertCommands{
    compat::command_of<ExpertAdd>("add", "start an expert from existing ones and train it"),
    compat::command_of<ExpertRemove>("remove", "take an expert out of the manifest"),
    compat::command_of<ExpertRename>("rename", "give an expert and its folder another name"),
    compat::command_of<ExpertCheck>("check", "compare manifest, files, dictionary and sizes"),
    compat::command_of<ExpertList>("list",
                                   "the experts, what they were started from, updates, perplexity"),
};

}  // namespace

std::span<const compat::Command> expert_commands() { return kExpertCommands; }

}  // namespace btm
