// The tensors of any pickle, wherever they lie in it.
#pragma once

#include <functional>
#include <string>

#include "compat/torch/pickle_value.h"

namespace converters {

/// Calls `visit` for every tensor under `root`, in the order of the file and as often as it is
/// referred to; a container that several refer to is entered once. Names are the way there
/// ("model.decoder.w", "state[0].exp_avg"), at most some 500 bytes of its end. The containers may
/// nest as deep as they like.
void for_each_tensor(
    const compat::PickleNode& root,
    const std::function<void(const std::string& name, const compat::PickleNode& node,
                             const compat::TensorView& view)>& visit);

}  // namespace converters
