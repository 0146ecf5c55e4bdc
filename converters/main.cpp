// btm-convert: inspects and converts files of fairseq and torch. Does not link LibTorch.
#include "compat/program/programs.h"
#include "converters/commands.h"

int main(int argc, char** argv) {
  return compat::run_program({"btm-convert",
                              "Inspects, checks and converts files of fairseq.",
                              converters::commands(),
                              {"btm", compat::kBtmCommands}},
                             argc, argv);
}
