// btm: train, combine and evaluate expert language models.
#include <array>

#include "btm/cli/commands.h"
#include "compat/program/programs.h"

int main(int argc, char** argv) {
  constexpr std::array kCommands{
      compat::Command{
          "average",
          "merge the parameters of models (average.py; also slerp, task arithmetic, TIES, DARE)",
          btm::run_average},
      compat::Command{
          "branch",
          "make a checkpoint of one run the start of another (branching_checkpoint_utils.py)",
          btm::run_branch},
      compat::Command{"eval-lm", "evaluate a model on a data set (fairseq-eval-lm)",
                      btm::run_eval_lm},
      compat::Command{"release", "list the scales and domains of BTM's release", btm::run_release},
      compat::Command{"train", "train a language model (fairseq-train)", btm::run_train},
      compat::Command{"cluster", "cluster documents of a corpus without domain labels (c-BTM)",
                      btm::run_cluster},
      compat::Command{"ensemble-eval", "evaluate a mixture of experts (BTM's ensemble_eval_lm.py)",
                      btm::run_ensemble_eval},
      compat::Command{"eval-matrix",
                      "compare models, ensembles and averages on all domains: table, JSON, report",
                      btm::run_eval_matrix},
      compat::Command{"expert", "add experts to a forest, remove and list them", btm::run_expert},
      compat::Command{"forest", "show the experts of a folder", btm::run_forest},
      compat::Command{"plan", "estimate what many experts cost", btm::run_plan},
      compat::Command{
          "run",
          "run a whole plan: preprocess, seed, branch, experts, baseline, evaluation, report",
          btm::run_run},
  };
  return compat::run_program(
      "btm", "Branch-Train-Merge language modelling on fairseq's data and checkpoints.", kCommands,
      argc, argv, {"btm-convert", compat::kConvertCommands});
}
