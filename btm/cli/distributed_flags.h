// fairseq's flags of distributed training, for the commands that can run on several ranks.
#pragma once

#include "btm/distributed/rendezvous.h"
#include "compat/program/command_line.h"

namespace btm {

compat::FlagGroup distributed_flags(DistributedOptions& options);

}  // namespace btm
