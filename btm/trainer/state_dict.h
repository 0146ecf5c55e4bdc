// The names and order in which fairseq saves a model's weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "btm/model/config.h"
#include "btm/trainer/flat_parameters.h"
#include "compat/torch/named_tensors.h"
#include "compat/torch/pickle_value.h"

namespace btm {

inline constexpr double kDecoderVersion = 3;  ///< fairseq's TransformerDecoder

/// The values in `buffer` (see FlatParameters) as fairseq's state dict with its buffers: parameters
/// in its order, then further names of tied ones. `version` is that of the decoder; at most 2 means
/// that there is no final layer norm. Tensors are snapshots on the CPU, in fp32. A tied tensor
/// shares its original's.
compat::NamedTensors state_dict(const FlatParameters& flat, const at::Tensor& buffer,
                                const TransformerConfig& config, double version);

/// Further names of tied tensors in the state dict: {name, the parameter's name}.
std::vector<std::pair<std::string, std::string>> tied_names(const FlatParameters& flat,
                                                            const TransformerConfig& config);

/// The tensors as a dict of `arena`, an OrderedDict where `ordered`.
compat::PickleNode* tensors_node(compat::PickleArena& arena, const compat::NamedTensors& tensors,
                                 bool ordered);

}  // namespace btm
