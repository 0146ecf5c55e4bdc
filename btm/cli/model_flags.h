// The flags of btm train that make a model of the same form as another, or train it alike.
#pragma once

#include <string>
#include <vector>

#include "compat/fairseq/config.h"

namespace btm {

/// --arch, sizes, switches, dropout and --tokens-per-sample as a checkpoint's configuration has
/// them. FormatError for a value of another type.
std::vector<std::string> model_flags(const compat::Config& config);

/// The flags of a training like the one that made a checkpoint: batches, updates, rate, optimizer,
/// schedule, saving. Neither its data, machine and precision, nor what it started from.
std::vector<std::string> training_flags(const compat::Config& config);

}  // namespace btm
