// What a configuration says of the network beyond its weights: cfg.model's settings that a plain
// decoder does not have.
#pragma once

#include <string>

#include "compat/config.h"

namespace compat {

/// GPT-2's layer_norm_epsilon, kept in cfg.model under this key where it is not fairseq's fixed
/// one. fairseq ignores the key.
inline constexpr const char* kLayerNormEpsilonKey = "layer_norm_epsilon";
inline constexpr double kLayerNormEpsilon = 1e-5;

/// The epsilon of every layer norm. FormatError unless it is a number from 0 to 1.
double layer_norm_epsilon(const Config& config);

/// The settings that change the network and that no program here has (ALiBi, adaptive softmax,
/// NormFormer's scales, ...), with their values, and an activation that is none of fairseq's: comma
/// separated, "" when there is none.
std::string unsupported_settings(const Config& config, const std::string& activation);

}  // namespace compat
