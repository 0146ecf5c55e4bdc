#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/eval_lm_json.h"
#include "btm/model/tensor_memory.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/program/reporter.h"

namespace btm {
namespace {

using compat::flag_switch;
using compat::flag_text;

struct EvalLmCommand {
  EvalLmOptions options;
  LogOptions log;
  std::string results_path;
  bool overwrite = false;
  std::string moe_gating = "dropless";

  compat::CommandSpec spec() {
    compat::FlagGroup model{
        "Model",
        {flag_text("path", "MODEL[:MODEL...]", options.path,
                   "the models; several are averaged in probability, as fairseq does"),
         flag_text("model-overrides", "DICT", options.model_overrides,
                   "a Python dict of cfg values to replace"),
         flag_switch("ema", options.ema,
                     "take the moving average of the weights, which btm train and fairseq-train "
                     "--store-ema save"),
         compat::flag_choice("moe-gating", moe_gating, {"dropless", "fairseq"},
                             "mixtures of experts: every token reaches its best experts, or an "
                             "expert has a capacity and the second may be drawn, as in fairseq")}};
    compat::Flag post_process =
        flag_text("post-process,remove-bpe", "SYMBOL", options.words.post_process,
                  "join pieces to words before counting: '@@ ' joins those that end in @@; without "
                  "a value it is subword_nmt, which joins nothing, as in fairseq");
    post_process.optional_value = true;
    post_process.implicit_value = "subword_nmt";
    compat::FlagGroup words{"Words",
                            {post_process,
                             flag_switch("output-word-probs", options.words.output_word_probs,
                                         "print every word with its log-probability"),
                             flag_switch("output-word-stats", options.words.output_word_stats,
                                         "print every word's count and mean log-probability")}};
    compat::FlagGroup results = log_flags(log);
    results.flags.push_back(compat::flag_overwrite(overwrite));
    results.flags.push_back(
        flag_text("results-path", "FILE", results_path, "write the results as JSON"));
    return {"btm eval-lm",
            std::string("Evaluates a language model on a data-bin and prints fairseq-eval-lm's "
                        "numbers. ") +
                compat::kWhatAModelIs,
            {{"DATA", "data-bin folder (with dict.txt)", &options.data.folder}},
            {model, data_flags(options.data), machine_flags(options.machine), words, results},
            foreign_eval_flags()};
  }
};

}  // namespace

compat::CommandSpec eval_lm_spec() { return compat::spec_owning<EvalLmCommand>(); }

int run_eval_lm(std::span<const std::string> args) {
  EvalLmCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  use_page_arena(MemoryUse::kEvaluation);
  warn_ignored("btm eval-lm", ignored);

  command.options.fairseq_gating = command.moe_gating == "fairseq";
  if (!command.results_path.empty())
    compat::check_new_output(command.results_path, command.overwrite);
  say_products("btm eval-lm", command.options.machine);
  compat::Reporter reporter("btm eval-lm", "eval-lm", command.log);
  EvalLmObserver observer;
  observer.log = [&](const std::string& line) { reporter.result(line); };
  observer.warn = [&](const std::string& line) { reporter.warn(line); };
  observer.progress = [&](std::int64_t done, std::int64_t total, const EvalLmReport& so_far) {
    reporter.progress(done, total, [&] {
      return compat::ProgressBar::Stats{
          {"loss", compat::decimal(so_far.loss_base2, 3)},
          {"ppl", compat::decimal(so_far.perplexity, 2)},
          {"wps",
           compat::decimal(so_far.seconds > 0
                               ? static_cast<double>(so_far.evaluated_tokens) / so_far.seconds
                               : 0,
                           1)}};
    });
  };
  const EvalLmReport report = eval_lm(command.options, observer);
  reporter.end_progress();
  if (!command.results_path.empty())
    compat::write_file_atomically(command.results_path, eval_lm_json(command.options, report));
  return 0;
}

}  // namespace btm
