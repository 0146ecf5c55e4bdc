// The names and order in which fairseq saves a model's weights.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/model/config.h"
#include "btm/trainer/flat_parameters.h"
#include "compat/torch/named_tensors.h"
#include "compat/torch/pickle_value.h"

namespace btm {

inline constexpr double kDecoderVersion = 3;  ///< fairseq's TransformerDecoder

/// The values in `buffer` (see FlatParameters) as fairseq's state dict, in its order and with its
/// buffers. `version` is that of the decoder; at most 2 means that there is no final layer norm.
/// Tensors are snapshots on the CPU, in fp32. A tied output projection shares the embedding's.
compat::NamedTensors state_dict(const FlatParameters& flat, const at::Tensor& buffer,
                                const TransformerConfig& config, double version);

/// The tensors as a dict of `arena`, an OrderedDict where `ordered`.
compat::PickleNode* tensors_node(compat::PickleArena& arena, const compat::NamedTensors& tensors,
                                 bool ordered);

}  // namespace btm
