// btm: train, combine and evaluate expert language models.
#include "btm/cli/commands.h"
#include "compat/program/programs.h"

int main(int argc, char** argv) {
  return compat::run_program(
      {"btm",
       "Branch-Train-Merge language modelling on fairseq's data and checkpoints.",
       btm::commands(),
       {"btm-convert", compat::kConvertCommands}},
      argc, argv);
}
