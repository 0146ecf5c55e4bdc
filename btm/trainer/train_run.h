// A whole training run, as by fairseq-train: epochs, validation, saving, stopping.
#pragma once

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"

namespace btm {

/// Trains one rank of `world`; `local_rank` is the number of its GPU. Returns 0, or 128 + the
/// signal when a SIGTERM, SIGINT or SIGUSR1 ended the run after everything was saved.
int train(TrainOptions options, Communicator& world, int local_rank);

}  // namespace btm
