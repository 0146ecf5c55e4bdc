// A plan as steps: preprocess, seed, branch, train every expert and the dense baseline, average,
// evaluate, report.
#pragma once

#include "btm/run/plan.h"
#include "btm/run/step.h"

namespace btm {

/// Compute is counted in tokens. With N experts, an update of the seed model or the dense baseline
/// takes N times the batch of an expert's update. So S seed updates, then U - S of N experts, cost
/// what U updates of the dense baseline do. The baseline goes on from the seed phase, which is its
/// own first S updates.
StepGraph build_steps(const Plan& plan);

/// Tokens that an update of the seed model (and the baseline) and of an expert is made from.
std::int64_t tokens_of_seed_update(const Plan& plan);
std::int64_t tokens_of_expert_update(const Plan& plan);

}  // namespace btm
