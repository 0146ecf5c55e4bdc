// Starts and supervises the local ranks of a run: one process each, this program with the same
// arguments.
#pragma once

#include <string>

#include "btm/distributed/rendezvous.h"

namespace btm {

/// The exit status of a rank that ended only because another one did. The launcher reports the
/// other one.
inline constexpr int kRankLostStatus = 76;

/// Starts `place.spawn` ranks and returns when all have ended: their status when they agree or one
/// failed, 128 + the signal for a rank that was killed. Call it before any thread exists.
///
/// The ranks find each other through torchrun's variables and share the cores (OMP_NUM_THREADS,
/// unless it is set). SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on to them. Only rank
/// 0 writes to standard output, and only the first local rank to standard error. Another rank's
/// standard error appears when it is the first that fails. For a rank that dies without a message
/// the launcher writes one, and ends the others. Ranks also die with this process. `program` is for
/// messages ("btm train").
int launch_local_ranks(const Rendezvous& place, const std::string& program);

/// The listening socket that rank 0 inherited from the launcher for its store; -1 without one.
int inherited_store_socket();

}  // namespace btm
