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

/// One part of a whole checkpoint. It holds the part's parameters (buffers belong to the shared
/// part), their optimizer state and the rest of the dict, except what the fork's files lack.
/// Optimizer state has the indices of the parameters among `parameters` (the optimizer's order; a
/// frozen parameter is none of them, and no expert's). State that only btm needs for resuming stays
/// with the expert.
compat::PickleTree demix_part(const compat::PickleTree& whole,
                              const std::vector<std::string>& parameters,
                              const std::function<bool(const std::string& parameter)>& is_expert,
                              DemixPart part);

/// Refuses, on all ranks, to resume from files of different moments. Copying makes such files, and
/// interrupted saves of earlier versions did. `checkpoint` is this rank's, null when it has none. A
/// collective call. UnsupportedError names the files and their moments.
void check_same_update(const compat::Checkpoint* checkpoint, Communicator& world);

}  // namespace btm
