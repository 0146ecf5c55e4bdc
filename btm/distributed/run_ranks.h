// Runs a command as one rank of a run, whether btm, torchrun, Slurm or the user starts the ranks.
#pragma once

#include <functional>
#include <string>

#include "btm/distributed/rendezvous.h"

namespace btm {

class Communicator;

/// Facts about this rank that its communicator does not know.
struct RankPlace {
  int local_rank = 0;     ///< Also the number of its GPU.
  bool launched = false;  ///< By btm's launcher.
};

/// Calls `body` with the group of all ranks of the run and returns its status. Where this process
/// must start the ranks (see find_rendezvous), it does that instead and returns their status. The
/// group is NCCL's on GPUs and Gloo's otherwise. `program` is for messages ("btm train"). Call it
/// before anything starts a thread. RankLost when another rank dies; under btm's launcher, which
/// tells the user, returns kRankLostStatus instead.
int run_ranks(const DistributedOptions& options, const std::string& program,
              const std::function<int(Communicator& world, const RankPlace& place)>& body);

}  // namespace btm
