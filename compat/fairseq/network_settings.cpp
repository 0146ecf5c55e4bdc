#include "compat/fairseq/network_settings.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

constexpr std::array<std::string_view, 7> kFairseqActivations{
    "relu", "relu_squared", "gelu", "gelu_fast", "gelu_accurate", "tanh", "linear"};

/// Keys of cfg.model that change the network when they are set, and what each turns on.
struct Refusal {
  std::string_view key, meaning;
  bool adaptive = false;  ///< Of adaptive inputs or adaptive softmax.
};
constexpr std::array<Refusal, 17> kRefused{{{"adaptive_softmax_cutoff", "adaptive softmax", true},
                                            {"adaptive_input", "adaptive input", true},
                                            {"tie_adaptive_weights", "tied adaptive weights", true},
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
                                            {"alibi", "ALiBi positions"},
                                            {"use_alibi", "ALiBi positions"},
                                            {"add_adapters", "adapters"},
                                            {"cross_self_attention", "cross attention"}}};

bool is_set(const ConfigValue& found) {
  if (const auto* flag = std::get_if<bool>(&found.value)) return *flag;
  if (const auto* number = std::get_if<std::int64_t>(&found.value)) return *number != 0;
  if (const auto* number = std::get_if<double>(&found.value)) return *number != 0;
  if (const auto* text = std::get_if<std::string>(&found.value)) return !text->empty();
  return !found.is_none();
}

/// The value of `key` as text. The epsilon is fairseq's where it is not written.
std::optional<std::string> written_value(const Config& config, std::string_view key) {
  if (key == kLayerNormEpsilonKey) return ConfigValue{layer_norm_epsilon(config)}.to_text();
  const ConfigValue* const value = config.find("model", key);
  return value == nullptr ? std::nullopt : std::optional(value->to_text());
}

}  // namespace

double layer_norm_epsilon(const Config& config) {
  const double value = config.get_float("model", kLayerNormEpsilonKey, kLayerNormEpsilon);
  if (!(value >= 0 && value <= 1))
    throw FormatError({config.file(), std::string("cfg.model.") + kLayerNormEpsilonKey, {}},
                      concat("is ", general(value), ", expected 0 to 1"));
  return value;
}

bool has_mixtures(const Config& config) {
  const ConfigValue* const frequency = config.find("model", kMoeFreqKey);
  return frequency != nullptr && is_set(*frequency);
}

std::string written_difference(const Config& found, const Config& expected) {
  for (const std::string_view key : kSettingsOutsideWeights) {
    const auto value = written_value(found, key), other = written_value(expected, key);
    if (value && other && *value != *other)
      return concat(key, " is ", printable(*value, 40), ", expected ", printable(*other, 40));
  }
  return {};
}

std::string unsupported_settings(const Config& config, const std::string& activation,
                                 AdaptiveLayers adaptive) {
  std::string reasons;
  for (const Refusal& row : kRefused) {
    if (row.adaptive && adaptive == AdaptiveLayers::kAccepted) continue;
    const ConfigValue* const value = config.find("model", row.key);
    if (value != nullptr && is_set(*value))
      append_item(reasons,
                  concat(row.meaning, " (", row.key, '=', printable(value->to_text(), 40), ')'));
  }
  if (std::ranges::find(kFairseqActivations, activation) == kFairseqActivations.end())
    append_item(reasons, "activation " + printable(activation));
  return reasons;
}

}  // namespace compat
