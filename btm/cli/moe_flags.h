// The flags of `btm train` for mixtures of experts and for DeMIX.
#pragma once

#include "btm/trainer/options.h"
#include "compat/program/command_line.h"

namespace btm {

/// The flags over fields of `options`, which must outlive them.
compat::FlagGroup moe_flags(TrainOptions& options);
compat::FlagGroup demix_flags(TrainOptions& options);

}  // namespace btm
