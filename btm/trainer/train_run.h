// A whole training run: epochs, validation, saving, stopping. What fairseq-train does.
#pragma once

#include <filesystem>

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"

namespace btm {

/// Trains as `options` say, one rank of `world`; `local_rank` numbers the GPU. Returns 0, or 128 +
/// the signal after a SIGTERM, SIGINT or SIGUSR1 that ended the run with everything saved.
int train(TrainOptions options, Communicator& world, int local_rank);

/// For work that comes before a training: IoError and FormatError as train()'s for a checkpoint
/// whose tensors do not fit the model and the dictionary that `options` name. No tensor is read
/// (but for the version).
void check_start(const TrainOptions& options, const std::filesystem::path& checkpoint);

}  // namespace btm
