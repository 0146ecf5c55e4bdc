// A group of processes with a GPU each: NCCL for tensors on the GPUs, Gloo for those in main
// memory. Needs BTM_CUDA.
#pragma once

#include <memory>

#include "btm/distributed/communicator.h"
#include "btm/distributed/meeting.h"

namespace btm {

/// GPUs that this process sees; 0 without a driver.
int num_gpus();

/// Makes GPU `device` this process's current one. UsageError when there is no such GPU.
void use_gpu(int device);

/// All ranks of `meeting` as a group. Each must have chosen its GPU. wait() returns when the sum is
/// complete, or throws RankLost. During the first sum NCCL connects; only `meeting`'s watch can end
/// that (RankWatch::when_stuck).
std::unique_ptr<Communicator> connect_nccl(std::shared_ptr<Meeting> meeting);

}  // namespace btm
