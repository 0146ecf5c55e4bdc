#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/eval_flags.h"
#include "btm/cli/train_flags.h"
#include "btm/distributed/communicator.h"
#include "btm/distributed/run_ranks.h"
#include "btm/model/tensor_memory.h"
#include "btm/trainer/train_run.h"

namespace btm {

int run_train(std::span<const std::string> args) {
  TrainOptions options;
  DistributedOptions distributed;
  const compat::CommandSpec spec = train_spec(options, distributed);
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
  distributed.cpu = options.common.cpu;
  complete(options);  // before any rank is started
  use_page_arena(MemoryUse::kTraining);
  return run_ranks(distributed, "btm train", [&](Communicator& world, const RankPlace& place) {
    if (world.rank() == 0) warn_ignored("btm train", ignored);
    return train(options, world, place.local_rank);
  });
}

}  // namespace btm
