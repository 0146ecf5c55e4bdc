// Recognises models of other programs by the names of their tensors.
#pragma once

#include <string>

#include "compat/checkpoint/checkpoint.h"

namespace compat {

/// The problem with a model whose tensor names are not fairseq's: FSDP's flattened parameters,
/// metaseq's fused projections, a wrapper's prefix. Empty for all other names.
std::string foreign_form(const NamedTensors& model);

}  // namespace compat
