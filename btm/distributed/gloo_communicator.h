// A group of processes that talk over TCP: LibTorch's Gloo, for tensors in main memory.
#pragma once

#include <memory>

#include "btm/distributed/communicator.h"
#include "btm/distributed/meeting.h"

namespace btm {

/// All ranks of `meeting` as a group. Sums fp32, fp64, bf16, fp16 and integers. GLOO_SOCKET_IFNAME
/// names the network device; otherwise it is the one that leads to the store.
std::unique_ptr<Communicator> connect_gloo(std::shared_ptr<Meeting> meeting);

}  // namespace btm
