// fairseq-train's flags for language models.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "btm/trainer/options.h"
#include "compat/command_line.h"

namespace btm {

/// The flags as groups for --help, each over a field of `options`.
std::vector<compat::FlagGroup> train_flags(TrainOptions& options);

/// fairseq's flags that change nothing in a training here, and those that would and are refused.
std::span<const compat::ForeignFlag> foreign_train_flags();

}  // namespace btm
