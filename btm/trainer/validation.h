// The validation of a training run: the numbers of each subset, and the one that ranks checkpoints.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "btm/trainer/epoch_batches.h"
#include "btm/trainer/train_data.h"
#include "btm/trainer/train_log.h"
#include "btm/trainer/trainer.h"

namespace btm {

/// Validates on every set and logs a row for each. Returns --best-checkpoint-metric of the first
/// set, or nothing when a signal came. `best` is the best one so far. UsageError when the metric is
/// not among the numbers. Collective.
std::optional<double> validate(Trainer& trainer, TrainLog& log, const std::vector<ValidData>& sets,
                               const CollateOptions& collate, std::int64_t epoch,
                               std::optional<double> best);

}  // namespace btm
