// A whole training run: epochs, validation, saving, stopping. What fairseq-train does.
#pragma once

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"

namespace btm {

/// Trains as `options` say, one rank of `world`; `local_rank` numbers the GPU. Returns 0, or 128 + the signal after a
/// SIGTERM, SIGINT or SIGUSR1 that ended the run with everything saved.
int train(TrainOptions options, Communicator& world, int local_rank);

}  // namespace btm
