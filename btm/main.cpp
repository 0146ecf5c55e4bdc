// btm: train, combine and evaluate expert language models.
#include "btm/cli/commands.h"
#include "btm/machine/waiting_threads.h"

int main(int argc, char** argv) {
  btm::keep_to_usable_cores();
  return compat::run_program(btm::program(), argc, argv);
}
