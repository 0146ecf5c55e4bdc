// A command as one rank of a run, whatever starts the ranks: us, torchrun, Slurm or the user.
#pragma once

#include <functional>
#include <string>

#include "btm/distributed/rendezvous.h"

namespace btm {

class Communicator;

/// This process's part in the run, beside what its communicator knows.
struct RankPlace {
  int local_rank = 0;     ///< Also the number of its GPU.
  bool launched = false;  ///< By our launcher.
};

/// Calls `body` with the group of all ranks of the run and returns its status; where this process
/// is to start the ranks (see find_rendezvous), it does that instead and returns theirs. NCCL's
/// group on GPUs, Gloo's otherwise. `program` is for messages ("btm train"). Call it before
/// anything starts a thread. RankLost when another rank dies, but under our launcher, which tells
/// the user, kRankLostStatus is returned.
int run_ranks(const DistributedOptions& options, const std::string& program,
              const std::function<int(Communicator& world, const RankPlace& place)>& body);

}  // namespace btm
