// Models that are none of fairseq's, told by the names of their tensors.
#pragma once

#include <string>

#include "compat/checkpoint/checkpoint.h"

namespace compat {

/// The problem with a model whose tensors' names say that it is not of fairseq's form (FSDP's
/// flattened parameters, metaseq's fused projections, a wrapper's prefix); empty for names that say
/// nothing.
std::string foreign_form(const NamedTensors& model);

}  // namespace compat
