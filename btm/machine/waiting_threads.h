// How long threads that wait for others keep their core.
#pragma once

namespace btm {

/// Whether waiting threads of OpenMP soon give their core to others. They do by default: before any
/// library starts, the program starts itself anew with GOMP_SPINCOUNT in its environment, because
/// the runtime reads that variable as it is loaded. OMP_WAIT_POLICY and GOMP_SPINCOUNT of the
/// user's own are kept.
bool waiting_threads_give_way();

/// Limits OpenMP to the cores that the process may use, where a container's quota allows fewer than
/// the runtime sees. OMP_NUM_THREADS of the user's own is kept.
void keep_to_usable_cores();

}  // namespace btm
