// Finds the tensors of any pickle, at any depth.
#pragma once

#include <functional>
#include <string>

#include "compat/torch/pickle_value.h"

namespace converters {

/// Calls `visit` for every tensor under `root` in file order, as often as it is referred to. A
/// container is entered only once. A name is the path to the tensor ("model.decoder.w",
/// "state[0].exp_avg"), cut to about its last 500 bytes. Containers may nest to any depth.
void for_each_tensor(
    const compat::PickleNode& root,
    const std::function<void(const std::string& name, const compat::PickleNode& node,
                             const compat::TensorView& view)>& visit);

}  // namespace converters
