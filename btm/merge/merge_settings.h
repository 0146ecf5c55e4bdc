// The options of a merge as settings of its tensors.
#pragma once

#include <cstddef>
#include <vector>

#include "btm/merge/merge_options.h"

namespace btm {

/// The weights of the models. UsageError for numbers of models, weights and parameters that the
/// method does not take.
std::vector<double> resolved_weights(const MergeOptions& options);

/// The share of a model's differences that is kept.
double density_of(const MergeOptions& options, std::size_t model);

/// The same settings for all tensors, but for the weights of groups. `tied_output` as in
/// layer_group.h.
SettingsOf settings_from(const MergeOptions& options, const std::vector<double>& weights,
                         bool tied_output);

}  // namespace btm
