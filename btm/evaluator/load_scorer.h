// From a path of --path to something that scores batches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/scorer.h"
#include "btm/model/weights.h"
#include "compat/checkpoint.h"

namespace btm {

/// What --fp16, --bf16 and --cpu ask for on this machine. UsageError for both precisions at once.
Precision precision_for(const EvalLmOptions& options);

/// Opens a checkpoint with --model-overrides applied; no tensor is read.
compat::Checkpoint open_model(const std::string& path, const EvalLmOptions& options);

struct LoadedModel {
  std::unique_ptr<ModelScorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
};

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const EvalLmOptions& options, const EvalData& data);

}  // namespace btm
