// A group of processes with a GPU each: NCCL for tensors on the GPUs, Gloo for what lies in main memory. Needs BTM_CUDA.
#pragma once

#include <memory>

#include "btm/distributed/communicator.h"
#include "btm/distributed/meeting.h"

namespace btm {

/// GPUs that this process sees; 0 without a driver.
int num_gpus();

/// Makes GPU `device` this process's current one. UsageError when there is no such GPU.
void use_gpu(int device);

/// All ranks of `meeting` as a group; each must have chosen its GPU. wait() on a sum makes the current CUDA stream wait, not
/// the CPU. When a rank is lost, NCCL's kernels that wait for it are aborted and the next call throws RankLost.
std::unique_ptr<Communicator> connect_nccl(std::shared_ptr<Meeting> meeting);

}  // namespace btm
