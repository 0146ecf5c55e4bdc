// Loads a model of --path as a scorer of batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_options.h"
#include "btm/evaluator/scorer.h"
#include "btm/model/weights.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// The precision that --fp16, --bf16, --fp32-matmul and --cpu give on this machine. UsageError for
/// flags that contradict each other.
Precision precision_for(const MachineOptions& machine);

/// The same for readers of reports: "fp32", "fp16 on a GPU", "bf16", "fp32 with products in
/// bf16x3".
std::string precision_name(const MachineOptions& machine);

/// Which code computes products here, and on how many threads: "products: exact fp32; 2 threads".
std::string products_note(const MachineOptions& machine);

/// Sets the number of LibTorch's threads that --num-threads asks for.
void use_threads(const MachineOptions& machine);

/// Opens a checkpoint with --model-overrides (a Python dict of cfg values) applied; no tensor is
/// read.
compat::Checkpoint open_model(const std::string& path, const std::string& overrides);

/// The positions of the model in an open checkpoint.
std::int64_t positions_of(const compat::Checkpoint& checkpoint);

/// The smallest number of positions of the models `paths`. Errors of open_model().
std::int64_t positions_of(std::span<const std::string> paths, const std::string& overrides);

/// `batching` with what it leaves to the models: the length that a tokens_per_sample of 0 stands
/// for, and the domains that have tokens, from the configuration of the first model.
BatchingOptions with_model_defaults(BatchingOptions batching, std::span<const std::string> paths,
                                    const std::string& overrides);

struct LoadedModel {
  std::unique_ptr<ModelScorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
};

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const MachineOptions& machine,
                        const EvalData& data);

/// The same with the exponential moving average of the weights (compat::stored_ema). FormatError
/// when the checkpoint has none.
LoadedModel load_ema_scorer(const compat::Checkpoint& checkpoint, const MachineOptions& machine,
                            const EvalData& data);

}  // namespace btm
