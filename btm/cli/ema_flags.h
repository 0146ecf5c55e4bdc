// The flags of btm train's moving average of the weights.
#pragma once

#include "btm/trainer/options.h"
#include "compat/program/flag.h"

namespace btm {

compat::FlagGroup ema_flags(EmaOptions& options);

}  // namespace btm
