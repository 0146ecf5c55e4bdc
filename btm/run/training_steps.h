// The steps that train: the seed model, the experts, the dense baseline, the mixture.
#pragma once

#include "btm/run/step_names.h"

namespace btm {

Step seed_step(const StepNames& names);
Step expert_step(const StepNames& names, const std::string& domain);
/// With plan.along_run, also averages the last checkpoints of its run.
Step dense_step(const StepNames& names);
/// Trains the mixture of the step "mix" on the domains of the trained experts.
Step mixture_step(const StepNames& names);

}  // namespace btm
