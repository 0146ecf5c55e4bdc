// From a path of --path to something that scores batches.
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

/// What --fp16, --bf16 and --cpu ask for on this machine. UsageError for both precisions at once.
Precision precision_for(const MachineOptions& machine);

/// Sets the number of LibTorch's threads that --num-threads asks for.
void use_threads(const MachineOptions& machine);

/// Opens a checkpoint with --model-overrides (a Python dict of cfg values) applied; no tensor is
/// read.
compat::Checkpoint open_model(const std::string& path, const std::string& overrides);

/// The positions that all of `paths` have. Errors as open_model's.
std::int64_t positions_of(std::span<const std::string> paths, const std::string& overrides);

/// `batching` with the length of a sample that tokens_per_sample 0 stands for.
BatchingOptions with_sample_length(BatchingOptions batching, std::span<const std::string> paths,
                                   const std::string& overrides);

struct LoadedModel {
  std::unique_ptr<ModelScorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
};

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const MachineOptions& machine,
                        const EvalData& data);

}  // namespace btm
