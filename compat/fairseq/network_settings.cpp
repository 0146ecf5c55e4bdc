#include "compat/fairseq/network_settings.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "compat/base/error.h"

namespace compat {
namespace {

constexpr std::array<std::string_view, 7> kFairseqActivations{
    "relu", "relu_squared", "gelu", "gelu_fast", "gelu_accurate", "tanh", "linear"};

/// Keys of cfg.model that change the network when they are set, and what each turns on.
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

bool is_set(const ConfigValue* value) {
  const ConfigValue found =
      value == nullptr ? ConfigValue{} : *value;  // a copy: clang 14 needs the complete type here
  if (found.is_none()) return false;
  if (const auto* flag = std::get_if<bool>(&found.value)) return *flag;
  if (const auto* number = std::get_if<std::int64_t>(&found.value)) return *number != 0;
  if (const auto* number = std::get_if<double>(&found.value)) return *number != 0;
  if (const auto* text = std::get_if<std::string>(&found.value)) return !text->empty();
  return true;
}

}  // namespace

double layer_norm_epsilon(const Config& config) {
  const double value = config.get_float("model", kLayerNormEpsilonKey, kLayerNormEpsilon);
  if (!(value >= 0 && value <= 1))
    throw FormatError({config.file(), std::string("cfg.model.") + kLayerNormEpsilonKey, {}},
                      "is " + std::to_string(value) + ", expected 0 to 1");
  return value;
}

std::string written_difference(const Config& found, const Config& expected) {
  for (const std::string_view key : kSettingsOutsideWeights) {
    const ConfigValue *const value = found.find("model", key), *const other =
                                                                   expected.find("model", key);
    if (value == nullptr || other == nullptr || value->to_text() == other->to_text()) continue;
    return std::string(key) + " is " + printable(value->to_text(), 40) + ", expected " +
           printable(other->to_text(), 40);
  }
  if (const double epsilon = layer_norm_epsilon(found), other = layer_norm_epsilon(expected);
      epsilon != other)
    return std::string(kLayerNormEpsilonKey) + " is " + ConfigValue{epsilon}.to_text() +
           ", expected " + ConfigValue{other}.to_text();
  return {};
}

std::string unsupported_settings(const Config& config, const std::string& activation) {
  std::string reasons;
  const auto add = [&](const std::string& reason) {
    reasons += (reasons.empty() ? "" : ", ") + reason;
  };
  for (const Refusal& row : kRefused) {
    const ConfigValue* const value = config.find("model", row.key);
    if (is_set(value))
      add(std::string(row.meaning) + " (" + std::string(row.key) + "=" +
          printable(value->to_text(), 40) + ")");
  }
  if (std::ranges::find(kFairseqActivations, activation) == kFairseqActivations.end())
    add("activation " + printable(activation));
  return reasons;
}

}  // namespace compat
