// A checkpoint in the DeMIX fork's layout: a file per rank with its expert's parameters, one with
// what all ranks share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "btm/distributed/communicator.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {

enum class DemixPart : std::uint8_t { kExpert, kShared };

/// The part of a whole checkpoint: its own parameters (buffers are shared ones), their optimizer
/// state under the indices that they have among all `parameters` (the optimizer's order), and the
/// rest of the dict as it is, but what the fork's files lack. State that only resuming here needs
/// stays with the expert.
compat::PickleTree demix_part(const compat::PickleTree& whole,
                              const std::vector<std::string>& parameters,
                              const std::function<bool(const std::string& parameter)>& is_expert,
                              DemixPart part);

/// Refuses, on all ranks, to go on from files that are not of one moment, as copying and earlier
/// versions' interrupted saves left them. `checkpoint` is this rank's, null when it has none. A
/// collective call. UnsupportedError naming the files and what they are of.
void check_same_update(const compat::Checkpoint* checkpoint, Communicator& world);

}  // namespace btm
