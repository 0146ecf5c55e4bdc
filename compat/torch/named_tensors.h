// Tensors with names, in the order of their file. A model's state dict is one.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compat/torch/pickle_value.h"
#include "compat/torch/tensor.h"

namespace compat {

using NamedTensors = std::vector<std::pair<std::string, TensorView>>;

/// The tensors of a dict. FormatError when it holds anything else. `section` names the dict in
/// messages.
NamedTensors named_tensors(const PickleNode& dict, const std::string& file,
                           const std::string& section = {});

/// The prefix of all names when the model was saved inside a wrapper, else "". It is "module." for
/// DistributedDataParallel and "_orig_mod." for torch.compile.
std::string wrapper_prefix(const NamedTensors& tensors);

}  // namespace compat
