// A whole training run, as by fairseq-train: epochs, validation, saving, stopping.
#pragma once

#include <filesystem>

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"

namespace btm {

/// Trains one rank of `world`; `local_rank` is the number of its GPU. Returns 0, or 128 + the
/// signal when a SIGTERM, SIGINT or SIGUSR1 ended the run after everything was saved.
int train(TrainOptions options, Communicator& world, int local_rank);

/// Checks early what train() will check: IoError and FormatError for a checkpoint whose tensors do
/// not fit the model and the dictionary of `options`. Reads no tensor but the version.
void check_start(const TrainOptions& options, const std::filesystem::path& checkpoint);

}  // namespace btm
