// btm train's flags of optimizers and learning rate schedules.
#pragma once

#include "btm/trainer/options.h"
#include "compat/program/command_line.h"

namespace btm {

compat::FlagGroup optimizer_flags(OptimizationOptions& options);
compat::FlagGroup schedule_flags(LrScheduleOptions& options);

}  // namespace btm
