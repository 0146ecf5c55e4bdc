// A group of processes that communicate over TCP: LibTorch's Gloo, for tensors in main memory.
#pragma once

#include <memory>

#include "btm/distributed/communicator.h"
#include "btm/distributed/meeting.h"

namespace btm {

/// All ranks of `meeting` as a group. Sums fp32, fp64, bf16, fp16 and integers. GLOO_SOCKET_IFNAME
/// names the network device; the default is the one that reaches the store.
std::unique_ptr<Communicator> connect_gloo(std::shared_ptr<Meeting> meeting);

}  // namespace btm
