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
      compat::Command{"eval-lm", "the loss of a model on a data set (fairseq-eval-lm)",
                      btm::run_eval_lm},
      compat::Command{"release", "the scales and domains of BTM's release, as a table or JSON",
                      btm::run_release},
      compat::Command{"train", "train a language model (fairseq-train)", btm::run_train},
      compat::Command{"cluster", "cluster documents of a corpus without domain labels (c-BTM)",
                      btm::run_cluster},
      compat::Command{"ensemble-eval",
                      "the loss of a mixture of experts (BTM's ensemble_eval_lm.py)",
                      btm::run_ensemble_eval},
      compat::Command{"eval-matrix",
                      "models on domains, with ensembles and their average: table, JSON, report",
                      btm::run_eval_matrix},
      compat::Command{"expert", "add experts to a forest, remove and list them", btm::run_expert},
      compat::Command{"forest",
                      "show a forest: the experts of a folder, with or without a manifest",
                      btm::run_forest},
      compat::Command{"plan", "what many experts would cost, on paper", btm::run_plan},
      compat::Command{
          "run", "a whole plan: preprocess, seed, branch, experts, baseline, evaluation, report",
          btm::run_run},
  };
  return compat::run_program(
      "btm", "Branch-Train-Merge language modelling on fairseq's data and checkpoints.", kCommands,
      argc, argv, {"btm-convert", compat::kConvertCommands});
}
