// Starts the local ranks of a run and looks after them: one process each, this program with the
// same arguments.
#pragma once

#include <string>

#include "btm/distributed/rendezvous.h"

namespace btm {

/// The exit status of a rank that ended only because another one did. The launcher looks for the
/// other one's.
inline constexpr int kRankLostStatus = 76;

/// Starts `place.spawn` ranks and returns when all have ended: their status when they agree or one
/// failed, 128 + the signal for a rank that was killed. Must be called before any thread exists.
///
/// The ranks find each other through torchrun's variables and share the cores (OMP_NUM_THREADS,
/// unless it is set). SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on to them. Standard
/// output is rank 0's alone, standard error the first local rank's; what another one wrote there
/// appears when it is the first that fails. One that dies without a word gets a line of ours, and
/// the rest are ended. They die with this process, too. `program` is for messages ("btm train").
int launch_local_ranks(const Rendezvous& place, const std::string& program);

/// The listening socket that the launcher left open for the store of rank 0; -1 without one.
int inherited_store_socket();

}  // namespace btm
