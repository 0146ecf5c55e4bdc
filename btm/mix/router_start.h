// The first weights of a mixture's routers. E experts, C width.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "btm/mix/mix.h"
#include "btm/model/transformer_lm.h"
#include "compat/checkpoint/checkpoint.h"
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

/// A router's rows for experts that join the mixture `path`: [added * C] for each layer. `domains`
/// are the names of its experts and then those of the `added` new ones. A new row is the mean of
/// the rows that are there, plus the mean of what the router sees in the new expert's domain, less
/// the mean of these means over all domains. One factor per layer makes the second part's logits as
/// large as those of the rows that are there (root mean square, less each token's mean).
/// UsageError for a domain that is not there.
std::vector<std::vector<float>> added_rows_from_text(const compat::Checkpoint& mixture,
                                                     const std::vector<std::string>& domains,
                                                     std::size_t added, const RouterData& data,
                                                     const MachineOptions& machine);

}  // namespace btm
