// fairseq-train's flags for language models.
#pragma once

#include "btm/distributed/rendezvous.h"
#include "btm/trainer/options.h"
#include "compat/program/command_line.h"

namespace btm {

/// btm train's command line over the fields of `options` and `distributed`.
compat::CommandSpec train_spec(TrainOptions& options, DistributedOptions& distributed);

}  // namespace btm
