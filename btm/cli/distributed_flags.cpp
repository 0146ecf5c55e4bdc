#include "btm/cli/distributed_flags.h"

namespace btm {

using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

compat::FlagGroup distributed_flags(DistributedOptions& o) {
  return {
      "Several processes (ranks)",
      {
          flag_integer("distributed-world-size", "N", o.world_size,
                       "number of ranks. This command starts them, unless torchrun, Slurm or "
                       "--distributed-init-method does",
                       1, "one per GPU, else 1"),
          flag_text("distributed-init-method", "URL", o.init_method,
                    "tcp://HOST:PORT of rank 0, or env:// (torchrun's variables)"),
          flag_integer("distributed-rank", "N", o.rank,
                       "which rank this is, or the first of --nprocs-per-node; with tcp://", 0,
                       "none"),
          flag_integer("distributed-port", "N", o.port,
                       "port of rank 0 on this machine or in a Slurm step", -1, "a free one"),
          flag_integer("nprocs-per-node", "N", o.nprocs_per_node,
                       "ranks to start here when there are other machines; with tcp://", 1, "1"),
          flag_integer("device-id,local_rank,local-rank", "N", o.device_id, "which GPU", 0,
                       "the rank on this machine"),
          flag_switch("distributed-no-spawn", o.no_spawn, "start no ranks: this process is one"),
      }};
}

}  // namespace btm
