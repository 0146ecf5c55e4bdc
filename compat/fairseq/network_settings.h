// The settings of cfg.model that change the network but not the weights, and those that a plain
// decoder does not have.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "compat/fairseq/config.h"

namespace compat {

/// The key of cfg.model for GPT-2's layer_norm_epsilon. It is set only when the value differs from
/// fairseq's fixed one. fairseq ignores the key.
inline constexpr const char* kLayerNormEpsilonKey = "layer_norm_epsilon";
inline constexpr double kLayerNormEpsilon = 1e-5;

/// Keys of cfg.model for mixtures of experts (mixture_of_experts.md). fairseq's moe branch has the
/// first three, this program alone the others: how the router picks, and the experts' names.
inline constexpr const char *kMoeFreqKey = "moe_freq", *kMoeExpertCountKey = "moe_expert_count",
                            *kMoeTop1Key = "moe_top1_expert", *kMoeRouterKey = "moe_router",
                            *kMoeExpertsKey = "moe_experts";

/// Keys of cfg.model whose values change what the same weights compute.
inline constexpr std::array<std::string_view, 10> kSettingsOutsideWeights{
    "activation_fn",
    "decoder_attention_heads",
    "decoder_normalize_before",
    "no_decoder_final_norm",
    "decoder_learned_pos",
    "no_scale_embedding",
    "layernorm_embedding",
    "no_token_positional_embeddings",
    kLayerNormEpsilonKey,
    kMoeRouterKey};

/// The first of these keys whose values differ between the configurations, as "KEY is VALUE,
/// expected VALUE". "" when there is none. A key that only one of them has is skipped, because the
/// architecture's default is unknown here.
std::string written_difference(const Config& found, const Config& expected);

/// The epsilon of every layer norm. FormatError unless it is a number from 0 to 1.
double layer_norm_epsilon(const Config& config);

/// Whether layers of the network hold several experts and a router.
bool has_mixtures(const Config& config);

enum class AdaptiveLayers : std::uint8_t { kRefused, kAccepted };

/// The settings, with their values, that change the network in ways that a plain decoder does not
/// have (ALiBi, NormFormer's scales, ...). Includes an activation that fairseq does not have.
/// Separated by commas; "" when there is none. `adaptive`: whether the caller computes adaptive
/// inputs and adaptive softmax.
std::string unsupported_settings(const Config& config, const std::string& activation,
                                 AdaptiveLayers adaptive = AdaptiveLayers::kRefused);

}  // namespace compat
