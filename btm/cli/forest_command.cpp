#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/forest_table.h"
#include "compat/base/error.h"
#include "compat/checkpoint/forest.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

/// As btm eval-matrix takes them.
void print_models(const compat::Forest& forest) {
  for (const compat::ForestExpert& expert : complete_experts(forest))
    std::cout << expert.name << "=" << forest.checkpoint_of(expert).string() << "\n";
}

struct ForestCommand {
  std::string folder;
  bool paths = false, models = false, json = false;

  compat::CommandSpec spec() {
    return {
        "btm forest",
        "Shows the experts of a forest: a folder with the manifest forest.json, or the release's "
        "DOMAIN/checkpoint_last.pt.",
        {{"FOREST", compat::kForestHelp, &folder}},
        {{"Output",
          {compat::flag_switch("json", json, "as JSON"),
           compat::flag_switch("paths", paths,
                               "the complete experts' checkpoints joined by ':', for --path of "
                               "ensemble-eval and --model-files of average"),
           compat::flag_switch(
               "models", models,
               "NAME=CHECKPOINT of the complete experts, one per line, for eval-matrix")}}},
        {}};
  }

  int run() {
    if (json + paths + models > 1)
      throw compat::UsageError("--json, --paths and --models exclude each other");
    const compat::Forest forest = compat::open_forest(folder);
    if (const std::string line = taken_as_experts(forest); !line.empty())
      std::cerr << "btm forest: " << line << std::endl;
    if (paths)
      std::cout << compat::joined_paths(checkpoints_of(forest)) << "\n";
    else if (models)
      print_models(forest);
    else if (json)
      print_forest_json(forest, std::cout);
    else
      print_forest(forest, std::cout);
    return 0;
  }
};

}  // namespace

compat::CommandSpec forest_spec() { return compat::spec_owning<ForestCommand>(); }

int run_forest(std::span<const std::string> args) { return compat::run_as<ForestCommand>(args); }

}  // namespace btm
