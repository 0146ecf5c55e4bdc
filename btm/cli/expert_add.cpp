#include "btm/cli/expert_add.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <limits>
#include <sstream>

#include "btm/cli/expert_life.h"
#include "btm/cli/model_flags.h"
#include "btm/cli/train_flags.h"
#include "btm/cluster/cluster_record.h"
#include "btm/distributed/communicator.h"
#include "btm/ensemble/ensemble_eval.h"
#include "btm/merge/merge_inputs.h"
#include "btm/merge/merge_options.h"
#include "btm/report/table.h"
#include "btm/trainer/train_start.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/io/file_lock.h"
#include "compat/program/process.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::UsageError;

std::string shown(const fs::path& path) { return compat::printable(path.string(), 4096); }

class ExpertAddition {
 public:
  explicit ExpertAddition(ExpertAddOptions options) : options_(std::move(options)) {
    if (options_.name.empty()) options_.name = options_.domain;
    compat::check_expert_name(options_.name);
    options_.forest = compat::forest_folder(options_.forest);
    check_train_flags();
    if (!fs::is_directory(options_.data))
      throw compat::IoError(options_.data, "is not a folder, expected a data-bin (--data)");
    data_ = fs::weakly_canonical(options_.data).string();
    if (options_.split.empty())
      options_.split =
          compat::IndexedDataset::exists(fs::path(data_) / ("valid_" + options_.domain))
              ? "valid_" + options_.domain
              : "valid";
    dictionary_ = compat::known_dictionary(fs::path(data_) / "dict.txt");
    has_split_ = compat::IndexedDataset::exists(fs::path(data_) / options_.split);
    read_train_flags();
  }

  int run() {
    const bool new_forest = !fs::exists(options_.forest) && is_path(options_.from);
    compat::Forest before =
        new_forest ? compat::Forest{.folder = options_.forest, .has_manifest = false, .experts = {}}
                   : compat::open_forest(options_.forest);
    check_dictionaries(before);
    say_products("btm expert add", options_.machine);
    const Start start = planned_start(before);
    const auto follow_move = [&](compat::Forest& forest) {
      return take_paths_of_now(forest, options_.name, data_, start.model);
    };
    const bool has_moved = follow_move(before);
    check_starts(before, start);
    if (const std::string line = taken_as_experts(before); !line.empty()) say(line);
    const fs::path folder = options_.forest / options_.name;
    fs::create_directories(folder);
    const auto lock = compat::FileLock::now(folder / ".lock");
    try {
      if (before.find(options_.name) == nullptr)
        note_start(before, start, folder);
      else if (has_moved)
        compat::change_forest(options_.forest, follow_move);
      const int status = train(folder, folder / "checkpoint_last.pt");
      constexpr int kFirstOfSignals = 128;
      if (status != 0 && status < kFirstOfSignals) clear_unless_begun(folder);
      if (status != 0) return status;
    } catch (...) {
      clear_unless_begun(folder);
      if (new_forest) remove_if_empty(options_.forest);
      throw;
    }
    finish(folder, folder / "checkpoint_last.pt");
    return 0;
  }

 private:
  struct Start {
    std::string kind;   ///< compat::ForestExpert::start
    std::string model;  ///< Of "expert" and "checkpoint".
  };

  static bool is_path(const std::string& from) {
    std::error_code missing;
    return fs::exists(from, missing);
  }

  void check_train_flags() const {
    static constexpr std::array kOurs{
        "--save-dir",           "--restore-file",     "--finetune-from-model", "--reset-optimizer",
        "--reset-lr-scheduler", "--reset-dataloader", "--reset-meters"};
    for (const std::string& flag : options_.train_flags)
      for (const std::string_view ours : kOurs)
        if (flag == ours || flag.starts_with(std::string(ours) + "="))
          throw UsageError("flag " + std::string(ours) +
                           " after -- is set by btm expert add itself");
  }

  /// The arguments of btm train, except the start.
  std::vector<std::string> train_arguments() const {
    std::vector<std::string> arguments{data_, "--save-dir",
                                       (options_.forest / options_.name).string()};
    if (has_split_) arguments.insert(arguments.end(), {"--valid-subset", options_.split});
    const std::vector<std::string> model = flags_of_experts();
    for (const std::vector<std::string>* const more :
         {&model, &options_.common_flags, &options_.train_flags})
      arguments.insert(arguments.end(), more->begin(), more->end());
    return arguments;
  }

  /// Without --arch the new expert has the form of the model that it starts from, which is that of
  /// every expert, and without any flag after "--" it is trained as that was. Empty where there is
  /// none.
  std::vector<std::string> flags_of_experts() const {
    for (const std::string& flag : options_.train_flags)
      if (flag == "-a" || flag == "--arch" || flag.starts_with("--arch=")) return {};
    fs::path model;
    if (is_path(options_.from)) {
      model = compat::resolve_model(options_.from).path;
    } else if (is_path(options_.forest.string())) {
      const compat::Forest forest = compat::open_forest(options_.forest);
      for (const compat::ForestExpert& expert : forest.experts)
        if (expert.complete && fs::exists(forest.checkpoint_of(expert)))
          model = forest.checkpoint_of(expert);
    }
    if (model.empty()) return {};
    const compat::Config config = compat::Checkpoint::open(model).config();
    std::vector<std::string> flags = model_flags(config);
    if (!options_.train_flags.empty()) return flags;
    const std::vector<std::string> training = training_flags(config);
    flags.insert(flags.end(), training.begin(), training.end());
    return flags;
  }

  /// Checks them before any work. Errors as of btm train.
  void read_train_flags() {
    std::ostringstream help;
    std::vector<std::string> ignored;
    DistributedOptions distributed;
    if (!compat::parse_command_line(train_spec(train_options_, distributed), train_arguments(),
                                    help, ignored))
      throw UsageError("--help after -- is btm train's (btm train --help)");
  }

  Start resolve(const compat::Forest& forest) const {
    const std::string& from = options_.from;
    if (from.empty() || from == "nearest" || from == "posterior")
      return {from.empty() ? "posterior" : from, {}};
    if (const compat::ForestExpert* parent = forest.find(from);
        parent != nullptr && parent->complete)
      return {"expert", from};
    if (is_path(from))
      return {"checkpoint", fs::weakly_canonical(compat::resolve_model(from).path).string()};
    std::string names;
    for (const compat::ForestExpert& expert : forest.experts)
      if (expert.complete) names += ", " + expert.name;
    throw UsageError("flag --from: '" + compat::printable(from) +
                     "', expected nearest, posterior, a model, or a complete expert of " +
                     shown(options_.forest) +
                     (names.empty() ? " (it has none)" : names.replace(0, 1, ":")));
  }

  /// The experts of a forest have one dictionary. FormatError, before any work, for another one.
  void check_dictionaries(const compat::Forest& forest) const {
    for (const compat::ForestExpert& expert : forest.experts)
      if (expert.complete)
        compat::check_same_dictionary(dictionary_, dictionary_of(forest, expert));
  }

  /// How to start a new expert. For an existing one, checks that it is the same addition.
  Start planned_start(const compat::Forest& forest) const {
    const compat::ForestExpert* known = forest.find(options_.name);
    if (known == nullptr) {
      if (fs::exists(options_.forest / options_.name / "checkpoint_last.pt"))
        throw UsageError(
            shown(options_.forest / options_.name) +
            " holds a checkpoint that the manifest does not name: without --data it is "
            "taken up as it is; else move it away or take another --name");
      const Start start = resolve(forest);
      if (start.model.empty() &&
          std::ranges::none_of(forest.experts, &compat::ForestExpert::complete))
        throw UsageError(
            shown(options_.forest) +
            " has no expert to start from; give --from a checkpoint, such as the seed model");
      if (start.model.empty() && !has_split_)
        throw UsageError("no split '" + compat::printable(options_.split) + "' in " + shown(data_) +
                         " to choose the start by (--split, or --from an expert)");
      return start;
    }
    check_not_foreign(forest, options_.name);
    check_same_data(*known, data_, options_.forest);
    const Start start = options_.from.empty() ? Start{known->start, {}} : resolve(forest);
    check_same_start(*known, start.kind, start.model, options_.forest);
    return start;
  }

  /// Checks that training can start from every model that may be part of the start. Runs no model.
  void check_starts(const compat::Forest& forest, const Start& start) {
    complete(train_options_);
    const compat::ForestExpert* known = forest.find(options_.name);
    if (known != nullptr && fs::exists(forest.checkpoint_of(*known)))
      return;  // training resumes from its own checkpoint
    std::vector<fs::path> models;
    if (known != nullptr) {
      for (const compat::ForestParent& parent : known->parents)
        models.push_back(path_of(forest, *known, parent.model));
    } else if (start.kind == "checkpoint") {
      models.emplace_back(start.model);
    } else {
      for (const compat::ForestExpert& expert : forest.experts)
        if (expert.complete && (start.model.empty() || expert.name == start.model))
          models.push_back(forest.checkpoint_of(expert));
    }
    if (models.size() > 1) check_alike(open_models(models));
    for (const fs::path& model : models) check_start(train_options_, model);
  }

  /// Called after a training that failed before its first checkpoint. Removes the expert from the
  /// manifest, and its folder.
  void clear_unless_begun(const fs::path& folder) const {
    if (fs::exists(folder / "checkpoint_last.pt")) return;
    std::error_code ignored;
    try {
      if (compat::open_forest(options_.forest).find(options_.name) != nullptr)
        compat::change_forest(options_.forest, [&](compat::Forest& forest) {
          std::erase_if(forest.experts,
                        [&](const compat::ForestExpert& one) { return one.name == options_.name; });
        });
    } catch (const std::exception&) {  // the reason for the failed start is reported instead
    }
    for (const char* const file : {"start.pt", ".lock", kTrainLock})
      fs::remove(folder / file, ignored);
    remove_if_empty(folder);
  }

  static void remove_if_empty(const fs::path& folder) {
    std::error_code kept;
    fs::remove(folder, kept);
  }

  void say(const std::string& line) const {
    if (!options_.log.quiet) std::cerr << "btm expert add: " << line << std::endl;
  }

  EvalDataOptions eval_data() const {
    EvalDataOptions data;
    data.folder = options_.data;
    data.gen_subset = options_.split;
    data.batching = options_.batching;
    return data;
  }

  compat::Reporter reporter(const std::string& label) const {
    return compat::Reporter("btm expert add", label, options_.log, !options_.log.quiet);
  }

  EvalLmReport evaluate(const fs::path& model, const std::string& name) const {
    compat::Reporter reports = reporter(name + " on " + options_.domain);
    EvalLmObserver observer;
    observer.progress = [&](std::int64_t done, std::int64_t of, const EvalLmReport& so_far) {
      reports.progress(done, of, [&] {
        return compat::ProgressBar::Stats{{"ppl", fixed(so_far.perplexity, 2)}};
      });
    };
    observer.warn = [&](const std::string& line) { reports.warn(line); };
    EvalLmOptions eval;
    eval.path = model.string();
    eval.data = eval_data();
    eval.machine = options_.machine;
    EvalLmReport report = eval_lm(eval, observer);
    reports.end_progress();
    return report;
  }

  std::vector<compat::ForestParent> nearest(const compat::Forest& forest,
                                            const std::vector<std::string>& names) const {
    std::string best;
    double lowest = std::numeric_limits<double>::infinity();
    for (const std::string& name : names) {
      const EvalLmReport report = evaluate(forest.checkpoint_of(*forest.find(name)), name);
      say(name + ": ppl " + fixed(report.perplexity, 2) + " on " + options_.split);
      if (!(report.loss_base2 < lowest)) continue;  // false for NaN as well
      best = name;
      lowest = report.loss_base2;
    }
    if (best.empty())
      throw compat::IoError(data_, "no expert has a finite loss on split '" + options_.split + "'");
    return {{best, 1}};
  }

  std::vector<compat::ForestParent> posterior(const compat::Forest& forest,
                                              const std::vector<std::string>& names) const {
    EnsembleEvalOptions ensemble;
    ensemble.ensemble_type = EnsembleType::kUpdatingPrior;
    ensemble.data = eval_data();
    ensemble.data.batching.max_samples = options_.prior_batches;
    ensemble.machine = options_.machine;
    std::vector<std::string> paths;
    for (const std::string& name : names)
      paths.push_back(forest.checkpoint_of(*forest.find(name)).string());
    ensemble.path = compat::joined_paths(paths);
    compat::Reporter reports = reporter("posterior on " + options_.domain);
    EnsembleObserver observer;
    observer.progress = [&](const EnsembleProgress& at) {
      reports.progress(at.done, at.of, [&] {
        return compat::ProgressBar::Stats{
            {"expert", std::to_string(at.expert) + "/" + std::to_string(at.experts)}};
      });
    };
    observer.eval.warn = [&](const std::string& line) { reports.warn(line); };
    const EnsembleReport report = ensemble_eval(ensemble, observer, *single_process());
    reports.end_progress();
    std::vector<compat::ForestParent> parents;
    for (std::size_t i = 0; i < names.size(); ++i) {
      parents.push_back({names[i], report.lines.back().exp_avg_posterior[i]});
      if (!std::isfinite(parents.back().weight))
        throw compat::IoError(data_, "the posterior of expert '" + names[i] + "' is not finite");
      say(names[i] + ": posterior " + fixed(parents.back().weight, 4));
    }
    return parents;
  }

  void note_start(const compat::Forest& forest, const Start& start, const fs::path& folder) const {
    std::vector<std::string> names;
    for (const compat::ForestExpert& expert : forest.experts)
      if (expert.complete) names.push_back(expert.name);
    if (!options_.without.empty())
      names = compat::chosen_experts(names, {.experts = {}, .without = options_.without});
    compat::ForestExpert expert{.name = options_.name,
                                .domain = options_.domain,
                                .path = fs::path(options_.name) / "checkpoint_last.pt",
                                .start = start.kind,
                                .parents = {},
                                .data = data_,
                                .valid_ppl = {},
                                .dictionary = dictionary_.sha256,
                                .complete = false,
                                .cluster = cluster_of_data(data_)};
    if (!start.model.empty())
      expert.parents = {{start.model, 1}};
    else
      expert.parents = start.kind == "nearest" ? nearest(forest, names) : posterior(forest, names);
    std::error_code ignored;
    fs::remove(folder / "start.pt", ignored);  // left by an addition that was removed
    compat::change_forest(options_.forest, [&](compat::Forest& now) {
      if (now.find(expert.name) != nullptr)
        throw UsageError("expert '" + expert.name + "' has been added by another process");
      now.experts.push_back(expert);
    });
  }

  static fs::path path_of(const compat::Forest& forest, const compat::ForestExpert& expert,
                          const std::string& model) {
    if (expert.start == "checkpoint") return model;
    const compat::ForestExpert* parent = forest.find(model);
    if (parent == nullptr)
      throw compat::IoError(shown(forest.folder), "expert '" + compat::printable(model) +
                                                      "', which '" + expert.name +
                                                      "' starts from, is gone");
    return forest.checkpoint_of(*parent);
  }

  /// The model to train from: one parent, or the average of several.
  fs::path start_model(const compat::Forest& forest, const compat::ForestExpert& expert,
                       const fs::path& folder) const {
    if (expert.parents.empty())
      throw compat::IoError(shown(forest.folder),
                            "expert '" + expert.name + "' names nothing that it starts from");
    if (expert.parents.size() == 1) return path_of(forest, expert, expert.parents.front().model);
    MergeOptions merge;
    merge.output = folder / "start.pt";
    if (fs::exists(merge.output)) return merge.output;
    merge.normalize = true;
    for (const compat::ForestParent& parent : expert.parents) {
      merge.model_files.push_back(path_of(forest, expert, parent.model));
      merge.weights.push_back(parent.weight);
    }
    say("averaging " + std::to_string(expert.parents.size()) + " experts");
    merge_checkpoints(merge);
    return merge.output;
  }

  int train(const fs::path& folder, const fs::path& checkpoint) const {
    const compat::Forest forest = compat::open_forest(options_.forest);
    const compat::ForestExpert* expert = forest.find(options_.name);
    if (expert == nullptr)
      throw compat::IoError(shown(options_.forest),
                            "expert '" + options_.name + "' was removed meanwhile");
    const std::vector<std::string> arguments = train_arguments();
    std::vector<std::string> command{compat::own_program().string(), "train"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    if (fs::exists(checkpoint))
      say("resuming from " + shown(checkpoint));
    else
      command.insert(command.end(),
                     {"--finetune-from-model", start_model(forest, *expert, folder).string()});
    compat::SignalQueue signals;
    bool interrupted = false;
    compat::Child child({.argv = command});
    const int status = child.wait(signals, interrupted);
    if (interrupted) say("interrupted; the same command resumes");
    if (status == 0 && !fs::exists(checkpoint))
      throw compat::IoError(shown(checkpoint), "does not exist after training");
    return status;
  }

  void finish(const fs::path& folder, const fs::path& checkpoint) const {
    std::optional<double> perplexity;
    if (has_split_) perplexity = evaluate(checkpoint, options_.name).perplexity;
    compat::change_forest(options_.forest, [&](compat::Forest& forest) {
      compat::ForestExpert* expert = forest.find(options_.name);
      if (expert == nullptr)
        throw compat::IoError(shown(options_.forest),
                              "expert '" + options_.name + "' was removed meanwhile");
      expert->complete = true;
      expert->valid_ppl = perplexity;
      expert->dictionary = dictionary_.sha256;
    });
    std::error_code ignored;
    fs::remove(folder / "start.pt", ignored);
    std::cout << options_.name << " " << checkpoint.string()
              << (perplexity ? " ppl " + fixed(*perplexity, 4) : "") << std::endl;
  }

  ExpertAddOptions options_;
  TrainOptions train_options_;  ///< Parsed from options_.train_flags.
  std::string data_;            ///< Absolute, so that a later call from elsewhere can compare.
  compat::KnownDictionary dictionary_;
  bool has_split_ = false;
};

}  // namespace

int add_expert(ExpertAddOptions options) { return ExpertAddition(std::move(options)).run(); }

}  // namespace btm
