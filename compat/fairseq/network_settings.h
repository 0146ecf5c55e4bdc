// What a configuration says of the network beyond its weights: cfg.model's settings that a plain
// decoder does not have.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "compat/fairseq/config.h"

namespace compat {

/// GPT-2's layer_norm_epsilon, kept in cfg.model under this key where it is not fairseq's fixed
/// one. fairseq ignores the key.
inline constexpr const char* kLayerNormEpsilonKey = "layer_norm_epsilon";
inline constexpr double kLayerNormEpsilon = 1e-5;

/// cfg.model's keys with whose values the same weights compute something else.
inline constexpr std::array<std::string_view, 9> kSettingsOutsideWeights{
    "activation_fn",
    "decoder_attention_heads",
    "decoder_normalize_before",
    "no_decoder_final_norm",
    "decoder_learned_pos",
    "no_scale_embedding",
    "layernorm_embedding",
    "no_token_positional_embeddings",
    kLayerNormEpsilonKey};

/// The first of these keys that both configurations hold with two values, as "KEY is VALUE,
/// expected VALUE"; "" when there is none. An architecture's defaults are not known here.
std::string written_difference(const Config& found, const Config& expected);

/// The epsilon of every layer norm. FormatError unless it is a number from 0 to 1.
double layer_norm_epsilon(const Config& config);

/// The settings that change the network and that no program here has (ALiBi, adaptive softmax,
/// NormFormer's scales, ...), with their values, and an activation that is none of fairseq's: comma
/// separated, "" when there is none.
std::string unsupported_settings(const Config& config, const std::string& activation);

}  // namespace compat
