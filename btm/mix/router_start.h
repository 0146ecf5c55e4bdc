// The first weights of a mixture's routers. E experts, C width.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "btm/mix/mix.h"
#include "btm/model/transformer_lm.h"
#include "compat/checkpoint/named_models.h"
#include "compat/torch/named_tensors.h"

namespace btm {

/// [E * C] numbers, uniform in +-bound. The same on every machine.
std::vector<float> uniform_rows(std::mt19937_64& random, std::int64_t numbers, double bound);

/// The routers of the mixture with these tensors, [E * C] for each layer. `tensors` has gates of
/// zeros, so that every expert has the same weight while the text is read. `first` is one of the
/// experts, for messages and the dictionary. UsageError for a domain that is not there.
std::vector<std::vector<float>> routers_from_text(const TransformerConfig& config,
                                                  const compat::NamedTensors& tensors,
                                                  const std::vector<compat::NamedModel>& experts,
                                                  RouterStart start, const RouterData& data,
                                                  const MachineOptions& machine);

}  // namespace btm
