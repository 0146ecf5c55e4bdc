// Tensors with names, in the order of their file: a model's state dict.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compat/torch/pickle_value.h"
#include "compat/torch/tensor.h"

namespace compat {

using NamedTensors = std::vector<std::pair<std::string, TensorView>>;

/// The tensors of a dict, which must hold nothing else (FormatError). `section` is where the dict
/// lies, for messages.
NamedTensors named_tensors(const PickleNode& dict, const std::string& file,
                           const std::string& section = {});

/// What every name begins with when the model was saved inside a wrapper: "module."
/// (DistributedDataParallel), "_orig_mod." (torch.compile); else "".
std::string wrapper_prefix(const NamedTensors& tensors);

}  // namespace compat
