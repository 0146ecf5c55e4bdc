#include "btm/model/config.h"

#include <array>
#include <string_view>
#include <vector>

#include "compat/error.h"

namespace btm {
namespace {

using compat::Config;
using compat::ConfigValue;

/// What fairseq's architecture functions put where cfg has no value.
struct Architecture {
  std::string_view name;
  std::int64_t layers, embed_dim, ffn_embed_dim, heads;
  bool gpt3;  ///< tied, learned positions
  bool gelu;
};
constexpr std::array<Architecture, 21> kArchitectures{{
    {"transformer_lm", 6, 512, 2048, 8, false, false},
    {"transformer_lm_big", 12, 1024, 4096, 16, false, false},
    {"transformer_lm_gpt", 12, 768, 3072, 12, false, true},
    {"transformer_lm_gpt2_tiny", 2, 64, 64, 1, false, true},
    {"transformer_lm_gpt2_small", 24, 1024, 4096, 16, false, true},
    {"transformer_lm_gpt2_medium", 36, 1280, 5120, 20, false, true},
    {"transformer_lm_gpt2_big", 48, 1600, 6400, 25, false, true},
    {"transformer_lm_gpt2_big_wide", 24, 2048, 8192, 32, false, true},
    {"transformer_lm_gpt2_bigger", 48, 2048, 8192, 32, false, true},
    {"transformer_lm_gpt3_small", 12, 768, 3072, 12, true, true},
    {"transformer_lm_gpt3_medium", 24, 1024, 4096, 16, true, true},
    {"transformer_lm_gpt3_large", 24, 1536, 6144, 16, true, true},
    {"transformer_lm_gpt3_xl", 24, 2048, 8192, 32, true, true},
    {"transformer_lm_gpt3_2_7", 32, 2560, 10240, 32, true, true},
    {"transformer_lm_gpt3_6_7", 32, 4096, 16384, 32, true, true},
    {"transformer_lm_gpt3_13", 40, 5120, 20480, 40, true, true},
    {"transformer_lm_gpt3_175", 96, 12288, 49152, 96, true, true},
    // These differ from the above by adaptive inputs and softmax, which cfg shows.
    {"transformer_lm_wiki103", 16, 1024, 4096, 8, false, false},
    {"transformer_lm_baevski_wiki103", 16, 1024, 4096, 8, false, false},
    {"transformer_lm_gbw", 12, 512, 4096, 16, false, false},
    {"transformer_lm_baevski_gbw", 12, 512, 4096, 16, false, false},
}};

constexpr std::array<std::string_view, 7> kActivations{"relu", "relu_squared",  "gelu",  "gelu_fast",
                                                       "gelu_accurate", "tanh", "linear"};

bool is_set(const ConfigValue* value) {
  if (value == nullptr) return false;
  if (const auto* flag = std::get_if<bool>(&value->value)) return *flag;
  if (const auto* number = std::get_if<std::int64_t>(&value->value)) return *number != 0;
  if (const auto* number = std::get_if<double>(&value->value)) return *number != 0;
  if (const auto* text = std::get_if<std::string>(&value->value)) return !text->empty();
  return true;
}

/// cfg.model keys that change the network when they are set, with what they are.
struct Refusal {
  std::string_view key, meaning;
};
constexpr std::array<Refusal, 19> kRefused{{{"adaptive_softmax_cutoff", "adaptive softmax"},
                                            {"adaptive_input", "adaptive input"},
                                            {"tie_adaptive_weights", "tied adaptive weights"},
                                            {"character_embeddings", "character embeddings"},
                                            {"decoder_layers_to_keep", "pruned layers"},
                                            {"quant_noise_pq", "quantization noise"},
                                            {"quant_noise_scalar", "quantization noise"},
                                            {"base_layers", "BASE layers"},
                                            {"scale_fc", "NormFormer"},
                                            {"scale_attn", "NormFormer"},
                                            {"scale_heads", "NormFormer"},
                                            {"scale_resids", "NormFormer"},
                                            {"decoder_xformers_att_config", "xFormers attention"},
                                            {"moe_freq", "mixture-of-experts gates"},
                                            {"moe_expert_count", "mixture-of-experts gates"},
                                            {"alibi", "ALiBi positions"},
                                            {"use_alibi", "ALiBi positions"},
                                            {"add_adapters", "adapters"},
                                            {"cross_self_attention", "cross attention"}}};

std::string arch_name(const Config& config) {
  return config.is_flat() ? config.get_string("", "arch", "transformer_lm")
                          : config.get_string("model", "_name", "transformer_lm");
}

const Architecture& find_architecture(const std::string& name, const std::string& file) {
  for (const Architecture& row : kArchitectures)
    if (row.name == name) return row;
  throw compat::UnsupportedError(compat::printable(file, 4096) + ": architecture " + compat::printable(name) +
                                 " is not supported (supported: transformer_lm and transformer_lm_gpt..., a decoder of plain layers)");
}

void refuse_unsupported(const Config& config, const TransformerConfig& model) {
  std::string reasons;
  const auto add = [&](const std::string& reason) { reasons += (reasons.empty() ? "" : ", ") + reason; };
  for (const Refusal& row : kRefused) {
    const ConfigValue* const value = config.find("model", row.key);
    if (is_set(value))
      add(std::string(row.meaning) + " (" + std::string(row.key) + "=" + compat::printable(value->to_text(), 40) + ")");
  }
  bool known = false;
  for (const std::string_view name : kActivations) known = known || name == model.activation_fn;
  if (!known) add("activation " + compat::printable(model.activation_fn));
  if (!reasons.empty())
    throw compat::UnsupportedError(compat::printable(config.file(), 4096) + ": not supported: " + reasons);
}

void check_sizes(const Config& config, const TransformerConfig& model) {
  struct Rate {
    std::string_view key;
    double value;
  };
  for (const Rate& rate : {Rate{"dropout", model.dropout}, Rate{"attention_dropout", model.attention_dropout},
                           Rate{"activation_dropout", model.activation_dropout}, Rate{"decoder_layerdrop", model.decoder_layerdrop}})
    if (!(rate.value >= 0 && rate.value <= 1))
      throw compat::FormatError({config.file(), "cfg.model." + std::string(rate.key), {}},
                                "is " + std::to_string(rate.value) + ", expected a probability");
  struct Row {
    std::string_view key;
    std::int64_t value, highest;
  };
  // Far above any model, far below what would exhaust memory before the first tensor is compared.
  for (const Row& row : {Row{"decoder_layers", model.decoder_layers, 1024},
                         Row{"decoder_embed_dim", model.decoder_embed_dim, 1 << 20},
                         Row{"decoder_input_dim", model.decoder_input_dim, 1 << 20},
                         Row{"decoder_output_dim", model.decoder_output_dim, 1 << 20},
                         Row{"decoder_ffn_embed_dim", model.decoder_ffn_embed_dim, 1 << 22},
                         Row{"decoder_attention_heads", model.decoder_attention_heads, 1 << 16},
                         Row{"max_target_positions", model.max_target_positions, 1 << 24}})
    if (row.value < 1 || row.value > row.highest)
      throw compat::FormatError({config.file(), "cfg.model." + std::string(row.key), {}},
                                "is " + std::to_string(row.value) + ", expected 1 to " + std::to_string(row.highest));
  if (model.decoder_embed_dim % model.decoder_attention_heads != 0)
    throw compat::FormatError({config.file(), "cfg.model", {}},
                              "decoder_embed_dim " + std::to_string(model.decoder_embed_dim) + " is not a multiple of decoder_attention_heads " +
                                  std::to_string(model.decoder_attention_heads));
  if (model.share_decoder_input_output_embed && model.decoder_input_dim != model.decoder_output_dim)
    throw compat::FormatError({config.file(), "cfg.model", {}},
                              "input and output embeddings are shared, but decoder_input_dim is " +
                                  std::to_string(model.decoder_input_dim) + " and decoder_output_dim " +
                                  std::to_string(model.decoder_output_dim));
}

}  // namespace

TransformerConfig TransformerConfig::from(const Config& config) {
  TransformerConfig model;
  model.arch = arch_name(config);
  const Architecture& arch = find_architecture(model.arch, config.file());
  const auto integer = [&](std::string_view key, std::int64_t fallback) { return config.get_int("model", key, fallback); };
  const auto flag = [&](std::string_view key, bool fallback) { return config.get_bool("model", key, fallback); };
  model.activation_fn = config.get_string("model", "activation_fn", arch.gelu ? "gelu" : "relu");
  model.decoder_embed_dim = integer("decoder_embed_dim", arch.embed_dim);
  model.decoder_input_dim = integer("decoder_input_dim", model.decoder_embed_dim);
  model.decoder_output_dim = integer("decoder_output_dim", model.decoder_embed_dim);
  model.decoder_ffn_embed_dim = integer("decoder_ffn_embed_dim", arch.ffn_embed_dim);
  model.decoder_layers = integer("decoder_layers", arch.layers);
  model.decoder_attention_heads = integer("decoder_attention_heads", arch.heads);
  const std::int64_t tokens_per_sample = integer("tokens_per_sample", config.get_int("task", "tokens_per_sample", 1024));
  model.max_target_positions =
      integer("max_target_positions", config.get_int("task", "max_target_positions", tokens_per_sample));
  // Two older switches for the norm after the stack, as fairseq's base_lm_architecture reads them.
  const bool old = config.find("model", "no_tie_adaptive_proj") != nullptr;
  model.no_decoder_final_norm = old || flag("no_decoder_final_norm", false);
  if (config.find("model", "decoder_final_norm") != nullptr) model.no_decoder_final_norm = !flag("decoder_final_norm", true);
  // Every architecture function sets it; only the plain transformer_lm keeps the dataclass's default.
  model.decoder_normalize_before = flag("decoder_normalize_before", arch.name != "transformer_lm");
  model.no_token_positional_embeddings = flag("no_token_positional_embeddings", false);
  model.share_decoder_input_output_embed = flag("share_decoder_input_output_embed", arch.gpt3);
  model.decoder_learned_pos = flag("decoder_learned_pos", arch.gpt3);
  model.layernorm_embedding = flag("layernorm_embedding", false);
  model.no_scale_embedding = flag("no_scale_embedding", false);
  const auto rate = [&](std::string_view key, double fallback) { return config.get_float("model", key, fallback); };
  model.dropout = rate("dropout", arch.gpt3 ? 0.0 : 0.1);
  model.attention_dropout = rate("attention_dropout", arch.gelu && !arch.gpt3 ? 0.1 : 0.0);
  model.activation_dropout = rate("activation_dropout", 0);
  if (model.activation_dropout == 0) model.activation_dropout = rate("relu_dropout", 0);  // its older name
  model.decoder_layerdrop = rate("decoder_layerdrop", 0);
  model.checkpoint_activations = flag("checkpoint_activations", false);
  refuse_unsupported(config, model);
  check_sizes(config, model);
  return model;
}

}  // namespace btm
