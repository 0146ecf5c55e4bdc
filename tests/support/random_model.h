// Small models with random weights.
#pragma once

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <cstdint>
#include <memory>

#include "btm/model/transformer_lm.h"

namespace btm_test {

/// Two layers with three heads, for 90 symbols.
inline btm::TransformerConfig small_config(std::int64_t positions = 80) {
  btm::TransformerConfig config;
  config.decoder_layers = 2;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 24;
  config.decoder_ffn_embed_dim = 40;
  config.decoder_attention_heads = 3;
  config.max_target_positions = positions;
  config.decoder_learned_pos = true;
  config.decoder_normalize_before = true;
  config.share_decoder_input_output_embed = true;
  return config;
}

inline std::unique_ptr<btm::TransformerLM> random_model(const btm::TransformerConfig& config,
                                                        std::uint64_t seed = 7,
                                                        std::int64_t vocabulary = 90) {
  at::manual_seed(seed);
  auto model = std::make_unique<btm::TransformerLM>(config, vocabulary);
  for (const btm::NamedParameter& parameter : model->parameters())
    *parameter.tensor = parameter.name.ends_with("norm.weight") ? at::ones(parameter.shape)
                                                                : at::randn(parameter.shape) * 0.2;
  return model;
}

}  // namespace btm_test
