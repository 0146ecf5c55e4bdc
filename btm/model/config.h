// Sizes and switches of a transformer_lm, read from a checkpoint's configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "btm/model/routing.h"
#include "compat/fairseq/config.h"

namespace btm {

/// fairseq's names and defaults (TransformerLanguageModelConfig).
struct TransformerConfig {
  std::string arch = "transformer_lm";
  std::string activation_fn = "relu";
  std::int64_t decoder_embed_dim = 512;
  std::int64_t decoder_output_dim = 512;
  std::int64_t decoder_input_dim = 512;
  std::int64_t decoder_ffn_embed_dim = 2048;
  std::int64_t decoder_layers = 6;
  std::int64_t decoder_attention_heads = 8;
  std::int64_t max_target_positions = 1024;
  bool decoder_normalize_before = false;
  bool no_decoder_final_norm = false;
  bool no_token_positional_embeddings = false;
  bool share_decoder_input_output_embed = false;
  bool decoder_learned_pos = false;
  bool layernorm_embedding = false;
  bool no_scale_embedding = false;
  // Adaptive inputs and adaptive softmax. The cutoffs are ascending; none for a plain layer.
  bool adaptive_input = false, tie_adaptive_weights = false, tie_adaptive_proj = false;
  std::vector<std::int64_t> adaptive_input_cutoff, adaptive_softmax_cutoff;
  double adaptive_input_factor = 4, adaptive_softmax_factor = 4;
  double layer_norm_epsilon = 1e-5;  ///< fairseq has no other; models converted from GPT-2 may.
  /// Every moe_freq-th layer has moe_expert_count experts in place of one feed-forward block
  /// (fairseq's moe branch); 0: none has. The document of the format is
  /// compat/fairseq/mixture_of_experts.md.
  std::int64_t moe_freq = 0, moe_expert_count = 0;
  Routing routing = Routing::kTop2;
  std::vector<std::string> moe_experts;  ///< Their names; none, or moe_expert_count.
  // Training only.
  double dropout = 0.1, attention_dropout = 0, activation_dropout = 0, decoder_layerdrop = 0,
         adaptive_softmax_dropout = 0;
  bool checkpoint_activations = false;

  bool has_adaptive_softmax() const noexcept { return !adaptive_softmax_cutoff.empty(); }

  /// The values of cfg decide, never the architecture's name. Where a key is absent, the
  /// architecture's default holds. UnsupportedError names every switch that this program does not
  /// support. FormatError for impossible sizes.
  static TransformerConfig from(const compat::Config& config);

  bool is_mixture(std::int64_t layer) const noexcept {
    return moe_freq > 0 && (layer + 1) % moe_freq == 0;
  }
};

/// The first setting in which two models of the same weights differ, as "KEY is VALUE, expected
/// VALUE"; "" when there is none.
std::string differing_setting(const TransformerConfig& found, const TransformerConfig& expected);

/// The settings (compat::kSettingsOutsideWeights), as text, that change what the same weights
/// compute.
std::vector<std::pair<std::string_view, std::string>> settings_outside_weights(
    const TransformerConfig& model);

}  // namespace btm
