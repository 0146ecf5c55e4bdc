#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <optional>

#include "btm/cli/average_tuning.h"
#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/ensemble/mixture.h"
#include "btm/merge/config_options.h"
#include "btm/merge/merge_inputs.h"
#include "btm/merge/merge_options.h"
#include "btm/merge/run_average.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/io/mapped_file.h"
#include "compat/program/command_line.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::UsageError;

/// fairseq's flags, which average the checkpoints of one run.
struct RunAverageFlags {
  std::string first, output;
  std::vector<std::string> more;
  std::optional<std::int64_t> updates, epochs, best, upper_bound;

  compat::FlagGroup group() {
    const auto count = [](std::string name, std::optional<std::int64_t>& field, std::string help,
                          std::int64_t lowest) {
      return compat::Flag{
          std::move(name), "N", std::move(help), "", [&field, lowest](const std::string& value) {
            field = compat::parse_integer(value);
            if (*field < lowest)
              throw UsageError(value + ", expected at least " + std::to_string(lowest));
          }};
    };
    return {
        "Along a run, as fairseq's average_checkpoints.py",
        {flag_text("inputs", "FILE...", first,
                   "average these checkpoints, or some of the one folder given here"),
         flag_text("output", "FILE", output, "where the average of --inputs is written"),
         count("num-update-checkpoints", updates,
               "the last N checkpoint_EPOCH_UPDATE.pt of the folder", 1),
         count("num-epoch-checkpoints", epochs, "the last N checkpointEPOCH.pt of the folder", 1),
         count("num-best-checkpoints", best,
               "the N with the lowest number at the end of their names, as in "
               "checkpoint.best_loss_3.21.pt; 0: all",
               0),
         count("checkpoint-upper-bound", upper_bound,
               "of --num-update-checkpoints and --num-epoch-checkpoints: none beyond this "
               "update or epoch",
               0)}};
  }
  bool given() const { return !first.empty(); }

  /// UsageError for flags that contradict each other or need --inputs.
  void check(bool other_flags) const {
    const int counts = (updates ? 1 : 0) + (epochs ? 1 : 0) + (best && *best > 0 ? 1 : 0);
    if (!given()) {
      if (!more.empty())
        throw UsageError("unexpected argument '" + compat::printable(more.front()) +
                         "', expected models after --model-files, or a run's files after --inputs");
      if (counts > 0 || best || upper_bound || !output.empty())
        throw UsageError(
            "--output, --num-...-checkpoints and --checkpoint-upper-bound need --inputs");
      return;
    }
    if (other_flags)
      throw UsageError(
          "--inputs averages along a run and excludes --model-files, --output-dir and "
          "the flags of weights, methods and --dtype");
    if (output.empty()) throw UsageError("--inputs needs --output FILE");
    if (counts > 1)
      throw UsageError(
          "--num-update-checkpoints, --num-epoch-checkpoints and "
          "--num-best-checkpoints exclude each other");
    if (upper_bound && !updates && !epochs)
      throw UsageError(
          "--checkpoint-upper-bound needs --num-update-checkpoints or --num-epoch-checkpoints");
  }

  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> inputs{first};
    inputs.insert(inputs.end(), more.begin(), more.end());
    if (best && *best > 0) return best_checkpoints(inputs, *best);
    if (!updates && !epochs) return inputs;
    if (inputs.size() != 1)
      throw UsageError(
          compat::concat("--num-update-checkpoints and --num-epoch-checkpoints take "
                         "one folder as --inputs, found ",
                         inputs.size()));
    return last_checkpoints(first, updates ? *updates : *epochs,
                            updates ? RunCheckpoints::kUpdates : RunCheckpoints::kEpochs,
                            upper_bound);
  }
};

bool truth(std::string_view text) {
  if (text != "true" && text != "false")
    throw UsageError("'" + compat::printable(text) + "', expected true or false");
  return text == "true";
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const MergeMethod method : kMergeMethods) names.emplace_back(merge_method_name(method));
  return names;
}

struct AverageCommand {
  MergeOptions options;
  RunAverageFlags run;
  LogOptions log;
  std::string output_dir, config, model_files, weights_from, base_model, method = "linear",
                                                                         ties_trim = "model", dtype;
  std::optional<double> scale;
  std::int64_t seed = 1, num_threads = 0;
  compat::ExpertChoice choice;
  AverageTuning tuning;
  std::vector<compat::NamedModel> named;
  bool overwrite = false;

  compat::FlagGroup method_flags() {
    const auto real = [](std::string name, std::optional<double>& field, std::string help,
                         std::string fallback) {
      return compat::Flag{
          std::move(name), "X", std::move(help), std::move(fallback),
          [&field](const std::string& value) { field = compat::parse_real(value); }};
    };
    return {
        "Method",
        {flag_choice("method", method, method_names(),
                     "how to merge; karcher, linear and slerp take no base model, nuslerp and "
                     "multislerp take one, the others need one and work on differences to it"),
         flag_text("base-model", "MODEL", base_model,
                   "the model that the others were branched from"),
         {"density", "X[,Y...]",
          "share of the differences that is kept by ties (see --ties-trim), dare*, breadcrumbs* "
          "and della*; mergekit's methods also take one per model",
          "0.2 for ties, 0.1 for dare, otherwise 1",
          [this](const std::string& value) { options.density = compat::parse_reals(value); }},
         flag_choice("ties-trim", ties_trim, {"model", "tensor"},
                     "whether ties keeps the largest differences of the whole model (the paper) or "
                     "of each tensor (mergekit)"),
         real("gamma", options.gamma, "share of the largest differences that breadcrumbs* drops",
              "0.01"),
         real("epsilon", options.epsilon,
              "della* keeps differences with probabilities from density - X to density + X",
              "0.15"),
         real("select-topk", options.select_topk,
              "share of the elements in which the models differ that sce keeps", "1"),
         {"rescale", "true|false",
          "whether dare_* and della* give what is kept the L1 norm of the whole", "true",
          [this](const std::string& value) { options.rescale = truth(value); }},
         real("scale,lambda", scale, "factor of the merged difference", "1"),
         flag_integer("max-iter", "N", options.karcher.max_iter, "steps of karcher, at most", 0),
         compat::flag_real("tol", "X", options.karcher.tol,
                           "karcher ends where a step is shorter than this angle", 0, 1),
         flag_integer("seed", "N", seed,
                      "seed of the choice of elements by dare* and della*, and of --tune", 0)}};
  }

  compat::CommandSpec spec() {
    compat::FlagGroup models{
        "Models",
        {flag_text("model-files", "A:B[:C...]", model_files,
                   "the models, separated by ':' or ','; a DeMIX rank brings its shared half"),
         flag_text("config", "FILE", config,
                   "mergekit's configuration (YAML), in place of all flags of models and methods"),
         {"weights",
          "X,Y[,Z...]",
          "one weight per model (default: equal ones that sum to 1; 1 each for methods with a base "
          "model)",
          {},
          [this](const std::string& value) { options.weights = compat::parse_reals(value); }},
         flag_text("weights-from", "FILE", weights_from,
                   "take the weights from the last exp_avg_posterior of an ensemble's results "
                   "(.jsonl), or from weigh.json or tune.json"),
         flag_switch("normalize", options.normalize, "divide the weights by their sum"),
         flag_switch("allow-unnormalized", options.allow_unnormalized,
                     "accept weights that do not sum to 1")}};
    for (compat::Flag& flag : choice_flags(choice))
      models.flags.insert(models.flags.begin() + 2, std::move(flag));
    compat::FlagGroup output{
        "Output",
        {flag_text("output-dir", "DIR", output_dir, "where checkpoint_last.pt is written"),
         compat::flag_overwrite(overwrite),
         flag_choice("dtype", dtype, {"float32", "float16", "bfloat16"},
                     "dtype of the tensors (default: that of the first model)"),
         flag_integer("num-threads", "N", num_threads, "threads; 0: all cores", 0)}};
    return {"btm average",
            std::string("Merges the parameters of models into one checkpoint. Everything else "
                        "comes from the first model. Memory does not grow with the size and number "
                        "of the models. ") +
                compat::kWhatAModelIs,
            {{"FILE", "more of --inputs", nullptr, &run.more, true}},
            {models, method_flags(), output, tuning.group(), run.group(), log_flags(log)},
            {}};
  }

  /// Whether flags say which models are merged, and how.
  bool describes_merge() const {
    return !model_files.empty() || choice.is_made() || !options.weights.empty() ||
           !weights_from.empty() || options.normalize || options.allow_unnormalized ||
           method != "linear" || !base_model.empty() || !options.density.empty() ||
           ties_trim != "model" || options.gamma || options.epsilon || options.select_topk ||
           options.rescale || scale || !dtype.empty() || tuning.given();
  }
  bool merges() const { return !output_dir.empty() || !config.empty() || describes_merge(); }

  static void warn(const std::string& line) {
    std::cerr << "btm average: warning: " << line << std::endl;
  }

  void resolve_output() {
    if (output_dir.empty()) throw UsageError("missing --output-dir");
    options.output = std::filesystem::path(output_dir) / "checkpoint_last.pt";
    options.seed = static_cast<std::uint64_t>(seed);
    options.num_threads = static_cast<int>(std::min<std::int64_t>(num_threads, 1024));
  }

  /// The file of --config as options.
  void resolve_config() {
    if (describes_merge())
      throw UsageError(
          "--config says which models are merged, and how; it excludes --model-files and the flags "
          "of weights, methods and --dtype");
    const auto file = compat::MappedFile::open(config);
    const MergeConfig read = read_merge_config(
        {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, file->path());
    options = options_from(read, file->path());
    resolve_output();
    method = read.method;
    for (const std::string& line : unused_filters(read, options)) warn(config + ": " + line);
  }

  /// The flags as options. UsageError for missing and contradicting flags.
  void resolve() {
    resolve_output();
    if (model_files.empty()) throw UsageError("missing --model-files");
    if (!options.weights.empty() && !weights_from.empty())
      throw UsageError("--weights and --weights-from exclude each other");
    named = compat::chosen_experts(compat::resolve_models(model_files, warn, ":,"), choice);
    for (const compat::NamedModel& model : named) options.model_files.push_back(model.path);
    if (weights_from.ends_with(".json"))
      options.weights = read_prior(weights_from, named);
    else if (!weights_from.empty())
      options.weights = read_posterior(weights_from);
    options.base_model = base_model;
    options.method = merge_method(method).value();
    if (tuning.given() && (options.method != MergeMethod::kLinear || options.allow_unnormalized))
      throw UsageError("--tune is for --method linear, with weights that sum to 1");
    options.dtype = output_dtype(dtype);
    resolve_parameters();
  }

  /// UsageError for a flag that does not belong to the method.
  void resolve_parameters() {
    options.trims_tensors = ties_trim == "tensor";
    const auto belongs = [this](bool given, bool taken, std::string_view flag,
                                std::string_view methods) {
      if (given && !taken)
        throw UsageError(
            compat::concat(flag, " belongs to ", methods, ", found --method ", method));
    };
    const auto share = [](std::string_view flag, double value, bool zero) {
      if (!(value <= 1 && (zero ? value >= 0 : value > 0)))
        throw UsageError(compat::concat("flag ", flag, ": ", compat::general(value), ", expected ",
                                        zero ? "0 to 1" : "above 0 and at most 1"));
    };
    const auto sparse = sparse_method(options.method, options.trims_tensors);
    const auto is = [&](Sparsifier one) { return sparse && sparse->sparsifier == one; };
    const bool of_papers =
        options.method == MergeMethod::kTies || options.method == MergeMethod::kDare;
    belongs(options.trims_tensors, options.method == MergeMethod::kTies, "--ties-trim", "ties");
    belongs(!options.density.empty(), sparse || of_papers, "--density",
            "ties, dare*, breadcrumbs* and della*");
    for (const double density : options.density) share("--density", density, false);
    belongs(options.gamma.has_value(), is(Sparsifier::kOutliers), "--gamma", "breadcrumbs*");
    if (options.gamma) share("--gamma", *options.gamma, true);
    belongs(options.epsilon.has_value(), is(Sparsifier::kRanks), "--epsilon", "della*");
    if (options.epsilon) share("--epsilon", *options.epsilon, true);
    belongs(options.select_topk.has_value(), options.method == MergeMethod::kSce, "--select-topk",
            "sce");
    if (options.select_topk) share("--select-topk", *options.select_topk, true);
    belongs(options.rescale.has_value(), sparse && sparse->rescales, "--rescale",
            "dare_* and della*");
    belongs(scale.has_value(),
            sparse || of_papers || options.method == MergeMethod::kTaskArithmetic, "--scale",
            "task-arithmetic, ties, dare*, breadcrumbs* and della*");
    options.scale = scale.value_or(1);
  }
};

std::string weights_text(const std::vector<double>& weights) {
  return compat::join(weights, ",", [](double weight) { return compat::general(weight); });
}

/// What both kinds of average do around the work: the folder of the output, the progress, the line
/// at the end. `work` gets the progress.
int run_with_progress(const std::filesystem::path& output, const std::string& method,
                      const LogOptions& log, bool overwrite,
                      const std::function<MergeReport(const MergeProgress&)>& work) {
  const std::filesystem::path folder =
      output.has_parent_path() ? output.parent_path() : std::filesystem::path(".");
  compat::check_can_write_in(folder);
  if (std::filesystem::exists(output)) compat::check_new_output(output, overwrite);
  const bool is_new = std::filesystem::create_directories(folder);
  compat::Reporter reporter("btm average", "average (million parameters)", log);
  const MergeProgress progress = [&, shown = std::int64_t{0}](std::int64_t done,
                                                              std::int64_t total) mutable {
    constexpr std::int64_t kMillion = 1'000'000;
    if (done / kMillion == shown) return;
    shown = done / kMillion;
    reporter.progress(shown, total / kMillion);
  };
  const auto start = std::chrono::steady_clock::now();
  const MergeReport report = [&] {
    try {
      return work(progress);
    } catch (...) {
      std::error_code error;
      if (is_new) std::filesystem::remove(folder, error);
      throw;
    }
  }();
  reporter.end_progress();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const auto megabytes = [](std::uint64_t bytes) {
    return compat::decimal(static_cast<double>(bytes) / 1e6, 1);
  };
  std::cout << compat::printable(output.string(), 4096) << ": " << method
            << (report.weights.empty() ? "" : ", weights " + weights_text(report.weights)) << "; "
            << report.models << " models, " << report.tensors << " tensors, "
            << megabytes(report.bytes_read) << " MB read, " << megabytes(report.bytes_written)
            << " MB written, " << compat::decimal(seconds.count(), 2) << " s" << std::endl;
  return 0;
}

int run_along_run(const AverageCommand& command) {
  RunAverageOptions options;
  options.inputs = command.run.files();
  options.output = command.run.output;
  options.num_threads = static_cast<int>(std::min<std::int64_t>(command.num_threads, 1024));
  const std::string inputs = compat::join(options.inputs, ", ", [](const auto& file) {
    return compat::printable(file.string(), 4096);
  });
  return run_with_progress(
      options.output, "the average of " + inputs, command.log, command.overwrite,
      [&](const MergeProgress& progress) { return average_run(options, progress); });
}

}  // namespace

compat::CommandSpec average_spec() { return compat::spec_owning<AverageCommand>(); }

int run_average(std::span<const std::string> args) {
  AverageCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.run.check(command.merges());
  if (command.run.given()) return run_along_run(command);
  if (command.config.empty())
    command.resolve();
  else
    command.resolve_config();
  MergeOptions& options = command.options;
  if (command.tuning.given()) {
    check_alike(open_models(options.model_files));
    compat::check_can_write_in(command.output_dir);
    if (std::filesystem::exists(options.output))
      compat::check_new_output(options.output, command.overwrite);
    command.tuning.data.machine.num_threads = options.num_threads;
    const GroupWeights weights =
        tune_average(command.tuning, command.named, options.weights, options.seed,
                     command.output_dir, command.overwrite, command.log);
    options.weights = weights.front();
    options.normalize = true;
    if (weights.size() > 1) options.group_weights = weights;
  }
  const std::string groups =
      !command.config.empty() ? " as in " + compat::printable(command.config, 4096)
      : options.group_weights.empty()
          ? ""
          : compat::concat(" with weights for each of ", options.group_weights.size(),
                           " groups of layers (tune.json)");
  return run_with_progress(options.output, command.method + groups, command.log, command.overwrite,
                           [&](const MergeProgress& progress) {
                             MergeReport report = merge_checkpoints(options, progress);
                             if (!groups.empty()) report.weights.clear();
                             return report;
                           });
}

}  // namespace btm
