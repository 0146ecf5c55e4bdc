#include <array>
#include <cmath>
#include <filesystem>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/distributed_flags.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/mixture_flags.h"
#include "btm/cli/tuned_output.h"
#include "btm/distributed/communicator.h"
#include "btm/distributed/run_ranks.h"
#include "btm/ensemble/ensemble_eval.h"
#include "btm/ensemble/ensemble_lines.h"
#include "btm/ensemble/score_cache.h"
#include "btm/ensemble/tune_ensemble.h"
#include "btm/model/tensor_memory.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/forest.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;
using compat::ForeignFlag;

/// The flags of eval-lm, and those for training and its data that the release's scripts give.
std::vector<ForeignFlag> foreign_ensemble_flags() {
  static constexpr std::array kMore{
      ForeignFlag{"adam-betas", true},         ForeignFlag{"adam-eps", true},
      ForeignFlag{"add-adapters", true, true}, ForeignFlag{"arch,a", true},
      ForeignFlag{"batch-size-valid", true},   ForeignFlag{"clip-norm", true},
      ForeignFlag{"domain-parallel", false},   ForeignFlag{"eval-only", false},
      ForeignFlag{"gpu-mappings", true},       ForeignFlag{"lr", true},
      ForeignFlag{"max-epoch", true},          ForeignFlag{"max-tokens-valid", true},
      ForeignFlag{"max-update", true},         ForeignFlag{"replay", false},
      ForeignFlag{"save-dir", true},           ForeignFlag{"target-domain", true},
      ForeignFlag{"train-domains", true},      ForeignFlag{"train-subset", true},
      ForeignFlag{"unbalanced", false},        ForeignFlag{"undomain-eval", true},
      ForeignFlag{"undomain-replay", true},    ForeignFlag{"update-freq", true},
      ForeignFlag{"use-expert", true, true},   ForeignFlag{"valid-subset", true},
      ForeignFlag{"weight-decay", true},
  };
  const std::span<const ForeignFlag> common = foreign_eval_flags();
  std::vector<ForeignFlag> flags(common.begin(), common.end());
  flags.insert(flags.end(), kMore.begin(), kMore.end());
  return flags;
}

struct EnsembleEvalCommand {
  EnsembleEvalOptions options = [] {
    EnsembleEvalOptions defaults;
    defaults.data.batching.batch_size = kEnsembleBatchSize;
    defaults.score_cache = default_score_cache().string();
    return defaults;
  }();
  DistributedOptions distributed;
  LogOptions log;
  MixtureNames names;
  std::string target_eval, results_path, tune, out;
  TuneOptions tune_options;
  bool no_score_cache = false, overwrite = false;
  compat::ExpertChoice choice;
  std::vector<ForeignFlag> foreign = foreign_ensemble_flags();

  compat::CommandSpec spec() {
    compat::FlagGroup ensemble = mixture_flags(options, names);
    ensemble.flags.insert(ensemble.flags.begin(),
                          flag_text("path", "MODEL:MODEL...", options.path, "the experts"));
    for (compat::Flag& flag : choice_flags(choice))
      ensemble.flags.insert(ensemble.flags.begin() + 1, std::move(flag));
    ensemble.flags.push_back(skip_diverged_flag(options.skip_diverged));
    ensemble.flags.push_back(flag_text("model-overrides", "DICT", options.model_overrides,
                                       "a Python dict of cfg values to replace"));
    compat::FlagGroup cache{
        "Score cache",
        {flag_text("score-cache", "DIR", options.score_cache,
                   "keep each expert's scores there: another prior, k or type runs no model"),
         flag_switch("no-score-cache", no_score_cache, "keep none"),
         flag_integer("score-cache-mib", "N", options.score_cache_mib,
                      "size of the cache; beyond it the least recently used scores are removed",
                      0)}};
    compat::FlagGroup data = data_flags(options.data);
    data.flags.insert(data.flags.begin(),
                      flag_text("target-eval", "SPLIT", target_eval,
                                "the split to evaluate; wins over --gen-subset"));
    compat::FlagGroup tuning{
        "Fixed weights from data",
        {flag_text("tune", "SPLIT", tune,
                   "find the fixed weights with the least loss on SPLIT, and measure them on "
                   "--target-eval; half: find them on every second batch of it, and measure them "
                   "on the others"),
         flag_integer("tune-steps", "N", tune_options.max_steps, "steps at most", 1),
         flag_text("out", "FOLDER", out,
                   "for tune.json, which --precomputed-prior takes, and tune.html")}};
    compat::FlagGroup results = log_flags(log);
    results.flags.push_back(compat::flag_overwrite(overwrite));
    results.flags.push_back(
        flag_text("results-path", "FILE", results_path,
                  "write a line of JSON for each batch: ppl so far, posterior, exp_avg_posterior"));
    return {"btm ensemble-eval",
            std::string("Evaluates a mixture of expert language models, as BTM's "
                        "ensemble_eval_lm.py. ") +
                compat::kWhatAModelIs,
            {{"DATA", "data-bin folder (with dict.txt)", &options.data.folder}},
            {ensemble, cluster_prior_flags(options.cluster), tuning, data, cache,
             machine_flags(options.machine), distributed_flags(distributed), results},
            foreign};
  }
};

/// --path as --experts and --without leave it.
void choose_experts(EnsembleEvalCommand& command) {
  if (!command.choice.is_made()) return;
  std::vector<std::string> words;
  for (const compat::NamedModel& model : compat::chosen_experts(
           compat::resolve_models(command.options.path, [](const std::string&) {}),
           command.choice)) {
    const bool has_name = model.name.find('/') == std::string::npos;
    words.push_back((has_name ? model.name + "=" : "") + model.path.string());
  }
  command.options.path = compat::joined_paths(words);
}

/// UsageError for flags that do not go with --tune, or need it.
void check_tuning(const EnsembleEvalCommand& command) {
  if (command.tune.empty()) {
    if (!command.out.empty()) throw compat::UsageError("--out needs --tune");
    return;
  }
  const EnsembleEvalOptions& options = command.options;
  if (options.ensemble_type != EnsembleType::kSimpleAverage || options.sparse ||
      !options.precomputed_prior.empty() || options.eval_topk != 0)
    throw compat::UsageError(
        "--tune finds fixed weights: it goes with --ensemble-type simple_average alone, without "
        "--precomputed-prior, --eval-topk and --sparse");
  if (!command.results_path.empty())
    throw compat::UsageError("--results-path does not go with --tune, which has --out FOLDER");
}

/// --tune, on the first rank with its results.
void tune(const EnsembleEvalCommand& command, const EnsembleObserver& observer,
          compat::Reporter& reporter, Communicator& ranks) {
  TunedEnsemble result;
  or_hint_at_skipping([&] {
    result = tune_ensemble(command.options, command.tune, command.tune_options, observer, ranks);
  });
  reporter.end_progress();
  if (ranks.rank() != 0) return;
  std::cout << tuned_text(result)
            << "final ppl: " << compat::decimal(std::exp(result.held_out.tuned), 4) << std::endl;
  if (command.out.empty()) return;
  const std::filesystem::path folder = command.out;
  std::filesystem::create_directories(folder);
  compat::write_file_atomically(folder / "tune.json", tuned_json(result));
  write_tuned_page(folder / "tune.html", result);
}

int evaluate(EnsembleEvalCommand& command, Communicator& ranks, const RankPlace& place) {
  const bool is_first_rank = ranks.rank() == 0;
  command.options.machine.device_id = place.local_rank;
  if (is_first_rank && !command.results_path.empty())
    compat::check_new_output(command.results_path, command.overwrite);
  if (is_first_rank && !command.out.empty())
    compat::check_new_outputs(command.out, {"tune.json", "tune.html"}, command.overwrite);
  if (is_first_rank) say_products("btm ensemble-eval", command.options.machine);
  compat::Reporter reporter("btm ensemble-eval", "ensemble-eval", command.log, is_first_rank);
  EnsembleObserver observer;
  observer.eval.log = [&](const std::string& line) {
    reporter.result(line);
    std::cout.flush();  // a line a batch
  };
  observer.eval.warn = [&](const std::string& line) { reporter.warn(line); };
  observer.progress = [&](const EnsembleProgress& progress) {
    reporter.progress(progress.done, progress.of, [&] {
      return compat::ProgressBar::Stats{
          {"expert", compat::concat(progress.expert, '/', progress.experts)},
          {"ppl", compat::decimal(progress.perplexity, 2)}};
    });
  };
  if (!command.tune.empty()) {
    tune(command, observer, reporter, ranks);
    return 0;
  }
  EnsembleReport report;
  or_hint_at_skipping([&] { report = ensemble_eval(command.options, observer, ranks); });
  reporter.end_progress();
  if (!is_first_rank) return 0;
  if (!command.results_path.empty())
    compat::write_file_atomically(command.results_path, ensemble_lines(report));
  std::cout << "final ppl: " << compat::decimal(report.eval.perplexity, 4) << std::endl;
  return 0;
}

}  // namespace

compat::CommandSpec ensemble_eval_spec() { return compat::spec_owning<EnsembleEvalCommand>(); }

int run_ensemble_eval(std::span<const std::string> args) {
  EnsembleEvalCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  use_page_arena(MemoryUse::kEvaluation);
  set_mixture(command.options, command.names,
              command.tune.empty() ? std::nullopt : std::optional(EnsembleType::kSimpleAverage));
  check_tuning(command);
  if (command.no_score_cache) command.options.score_cache.clear();
  choose_experts(command);
  if (depends_on_text(command.options.ensemble_type))
    set_cluster_origins(command.options,
                        compat::resolve_models(command.options.path, [](const std::string&) {}));
  if (!command.target_eval.empty()) command.options.data.gen_subset = command.target_eval;
  command.distributed.cpu = command.options.machine.cpu;
  return run_ranks(command.distributed, "btm ensemble-eval",
                   [&](Communicator& ranks, const RankPlace& place) {
                     if (ranks.rank() == 0) warn_ignored("btm ensemble-eval", ignored);
                     return evaluate(command, ranks, place);
                   });
}

}  // namespace btm
