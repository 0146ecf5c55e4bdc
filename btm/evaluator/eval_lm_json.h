// The result of eval-lm as JSON, for --results-path.
#pragma once

#include <string>

#include "btm/evaluator/eval_lm.h"

namespace btm {

/// An object with a key for each number of `report`, and the model and data of `options`. A number
/// that is not finite is null. `moe_gating` has an object for each mixture that fairseq's gating
/// was asked for.
std::string eval_lm_json(const EvalLmOptions& options, const EvalLmReport& report);

}  // namespace btm
