// The flags of btm train that make a model of the same form as another.
#pragma once

#include <string>
#include <vector>

#include "compat/fairseq/config.h"

namespace btm {

/// --arch, sizes, switches, dropout and --tokens-per-sample as a checkpoint's configuration has
/// them. FormatError for a value of another type.
std::vector<std::string> model_flags(const compat::Config& config);

}  // namespace btm
