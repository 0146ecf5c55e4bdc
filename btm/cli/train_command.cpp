#include <iostream>

#include "btm/cli/commands.h"
#include "btm/cli/distributed_flags.h"
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
  std::vector<compat::FlagGroup> groups = train_flags(options);
  groups.push_back(distributed_flags(distributed));
  groups.back().flags.push_back(compat::flag_integer("bucket-cap-mb", "N", options.bucket_cap_mb, "MiB of gradients that are summed over the ranks at once", 0));
  const compat::CommandSpec spec{"btm train",
                                 "Trains a language model on a data-bin, with fairseq-train's flags, numbers and checkpoints.",
                                 {{"DATA", "data-bin folder (with dict.txt), or a folder of domains; several joined by ':' take turns by epoch", &options.task.data}},
                                 std::move(groups),
                                 foreign_train_flags()};
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
