// Checks a plan's commands before the first of its steps runs.
#pragma once

#include "btm/run/plan.h"
#include "btm/run/step.h"

namespace btm {

/// Parses the command lines of all steps that are commands of btm. FormatError that names the plan,
/// its entry and the step for a flag that is unknown or whose value is of another type, and for
/// options and architectures that btm train refuses. What a command finds only in its files is not
/// checked.
void check_commands(const Plan& plan, const StepGraph& graph);

}  // namespace btm
