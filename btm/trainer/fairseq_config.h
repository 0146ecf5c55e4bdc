// The configuration that a checkpoint carries: fairseq 0.12.2's nested dict, every section of it.
#pragma once

#include <cstdint>

#include "btm/model/config.h"
#include "btm/trainer/options.h"
#include "compat/fairseq/config.h"

namespace btm {

/// The `model` and `task` sections that --arch and its flags set. TransformerConfig::from()
/// supplies the rest.
compat::Config model_config(const TrainOptions& options);

/// The cfg of a run: fairseq's defaults and the run's values.
compat::ConfigValue fairseq_config(const TrainOptions& options, const TransformerConfig& model,
                                   std::int64_t world_size);

/// UsageError for a --criterion that does not fit the output layer: adaptive softmax has
/// adaptive_loss, and nothing else has it.
void check_criterion(const TrainOptions& options, const TransformerConfig& model);

}  // namespace btm
