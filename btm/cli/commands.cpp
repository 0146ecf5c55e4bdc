#include "btm/cli/commands.h"

#include <array>

#include "btm/machine/version_facts.h"
#include "compat/program/completion.h"
#include "compat/program/manual.h"
#include "compat/program/programs.h"

namespace btm {

namespace {

std::span<const compat::Command> commands() {
  static const std::array kCommands{
      compat::Command{
          "average",
          "merge the parameters of models (average.py; also slerp, task arithmetic, TIES, DARE)",
          run_average, average_spec},
      compat::Command{
          "branch",
          "make a checkpoint of one run the start of another (branching_checkpoint_utils.py)",
          run_branch, branch_spec},
      compat::Command{"eval-lm", "evaluate a model on a data set (fairseq-eval-lm)", run_eval_lm,
                      eval_lm_spec},
      compat::Command{"release", "list the scales and domains of BTM's release", run_release,
                      release_spec},
      compat::Command{"train", "train a language model (fairseq-train)", run_train, train_spec},
      compat::Command{
          .name = "cluster",
          .summary = "cluster documents of a corpus without domain labels (c-BTM)",
          .subcommands = cluster_commands(),
          .about = "Clusters of documents as in c-BTM, for corpora without domain labels."},
      compat::Command{"ensemble-eval", "evaluate a mixture of experts (BTM's ensemble_eval_lm.py)",
                      run_ensemble_eval, ensemble_eval_spec},
      compat::Command{"eval-matrix",
                      "compare models, ensembles and averages on all domains: table, JSON, report",
                      run_eval_matrix, eval_matrix_spec},
      compat::Command{
          .name = "expert",
          .summary = "add experts to a forest, remove and list them",
          .subcommands = expert_commands(),
          .about = "Adds experts to a forest, removes and lists them. Trains nothing else again."},
      compat::Command{"forest", "show the experts of a folder", run_forest, forest_spec},
      compat::Command{"generate",
                      "continue prompts: beam search and sampling (fairseq-interactive)",
                      run_generate, generate_spec},
      compat::Command{"mix", "make one mixture of experts (Branch-Train-MiX)", run_mix, mix_spec},
      compat::Command{"routing", "show which experts of a mixture a domain's tokens go to",
                      run_routing, routing_spec},
      compat::Command{"plan", "print a plan to start from; estimate what many experts cost",
                      run_plan, plan_spec},
      compat::Command{
          "run",
          "run a whole plan: preprocess, seed, branch, experts, baseline, evaluation, report",
          run_run, run_spec},
      compat::Command{"score", "score sentences: log-probability, perplexity, expert", run_score,
                      score_spec},
      compat::Command{"serve", "serve models with OpenAI's protocol for completions", run_serve,
                      serve_spec},
      compat::Command{"weigh", "weigh experts by a few documents: posterior, prior, best k",
                      run_weigh, weigh_spec},
      compat::Command{"doctor", "say whether this machine is fit, and what to do where it is not",
                      run_doctor, doctor_spec},
      compat::Command{.name = "cache",
                      .summary = "show and clear the scores that are kept between runs",
                      .subcommands = cache_commands(),
                      .about = "Shows and clears the score cache."},
      compat::completion_command<program>(),
      compat::manual_command<program>(),
  };
  return kCommands;
}

}  // namespace

const compat::Program& program() {
  static const compat::Program kProgram{
      "btm",
      "Branch-Train-Merge language modelling on fairseq's data and checkpoints.",
      commands(),
      {"btm-convert", compat::kConvertCommands},
      version_facts};
  return kProgram;
}

}  // namespace btm
