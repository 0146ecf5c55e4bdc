#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/train_flags.h"
#include "btm/distributed/communicator.h"
#include "btm/distributed/run_ranks.h"
#include "btm/model/tensor_memory.h"
#include "btm/trainer/train_run.h"

namespace btm {
namespace {

struct TrainCommand {
  TrainOptions options;
  DistributedOptions distributed;

  compat::CommandSpec spec() { return train_spec(options, distributed); }
};

}  // namespace

compat::CommandSpec train_spec() { return compat::spec_owning<TrainCommand>(); }

int run_train(std::span<const std::string> args) {
  TrainCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  command.distributed.cpu = command.options.common.cpu;
  complete(command.options);  // before any rank is started
  use_page_arena(MemoryUse::kTraining);
  return run_ranks(command.distributed, "btm train",
                   [&](Communicator& world, const RankPlace& place) {
                     if (world.rank() == 0) warn_ignored("btm train", ignored);
                     return train(command.options, world, place.local_rank);
                   });
}

}  // namespace btm
