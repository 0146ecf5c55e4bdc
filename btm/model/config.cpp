#include "btm/model/config.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "btm/model/vocabulary_bands.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/fairseq/network_settings.h"

namespace btm {
namespace {

using compat::Config;

/// Architectures that set the same values, sizes apart. kDataclass has no architecture function,
/// only fairseq's dataclass. kWiki103 has adaptive inputs and softmax.
enum class Family : std::uint8_t { kDataclass, kPlain, kGpt, kGpt3, kGbw, kWiki103 };

/// What fairseq's architecture functions put where cfg has no value.
struct Architecture {
  std::string_view name;
  std::int64_t layers, embed_dim, ffn_embed_dim, heads;
  Family family;
};
constexpr std::array<Architecture, 21> kArchitectures{{
    {"transformer_lm", 6, 512, 2048, 8, Family::kDataclass},
    {"transformer_lm_big", 12, 1024, 4096, 16, Family::kPlain},
    {"transformer_lm_gpt", 12, 768, 3072, 12, Family::kGpt},
    {"transformer_lm_gpt2_tiny", 2, 64, 64, 1, Family::kGpt},
    {"transformer_lm_gpt2_small", 24, 1024, 4096, 16, Family::kGpt},
    {"transformer_lm_gpt2_medium", 36, 1280, 5120, 20, Family::kGpt},
    {"transformer_lm_gpt2_big", 48, 1600, 6400, 25, Family::kGpt},
    {"transformer_lm_gpt2_big_wide", 24, 2048, 8192, 32, Family::kGpt},
    {"transformer_lm_gpt2_bigger", 48, 2048, 8192, 32, Family::kGpt},
    {"transformer_lm_gpt3_small", 12, 768, 3072, 12, Family::kGpt3},
    {"transformer_lm_gpt3_medium", 24, 1024, 4096, 16, Family::kGpt3},
    {"transformer_lm_gpt3_large", 24, 1536, 6144, 16, Family::kGpt3},
    {"transformer_lm_gpt3_xl", 24, 2048, 8192, 32, Family::kGpt3},
    {"transformer_lm_gpt3_2_7", 32, 2560, 10240, 32, Family::kGpt3},
    {"transformer_lm_gpt3_6_7", 32, 4096, 16384, 32, Family::kGpt3},
    {"transformer_lm_gpt3_13", 40, 5120, 20480, 40, Family::kGpt3},
    {"transformer_lm_gpt3_175", 96, 12288, 49152, 96, Family::kGpt3},
    {"transformer_lm_wiki103", 16, 1024, 4096, 8, Family::kWiki103},
    {"transformer_lm_baevski_wiki103", 16, 1024, 4096, 8, Family::kWiki103},
    {"transformer_lm_gbw", 12, 512, 4096, 16, Family::kGbw},
    {"transformer_lm_baevski_gbw", 12, 512, 4096, 16, Family::kGbw},
}};

std::string arch_name(const Config& config) {
  return config.is_flat() ? config.get_string("", "arch", "transformer_lm")
                          : config.get_string("model", "_name", "transformer_lm");
}

const Architecture& find_architecture(const std::string& name, const std::string& file) {
  for (const Architecture& row : kArchitectures)
    if (row.name == name) return row;
  throw compat::UnsupportedError(compat::printable(file, 4096) + ": architecture " +
                                 compat::printable(name) +
                                 " is not supported (supported: transformer_lm and "
                                 "transformer_lm_..., a decoder of plain layers)");
}

void check_sizes(const Config& config, const TransformerConfig& model) {
  struct Rate {
    std::string_view key;
    double value;
  };
  for (const Rate& rate :
       {Rate{"dropout", model.dropout}, Rate{"attention_dropout", model.attention_dropout},
        Rate{"activation_dropout", model.activation_dropout},
        Rate{"adaptive_softmax_dropout", model.adaptive_softmax_dropout},
        Rate{"decoder_layerdrop", model.decoder_layerdrop}})
    if (!(rate.value >= 0 && rate.value <= 1))
      throw compat::FormatError({config.file(), "cfg.model." + std::string(rate.key), {}},
                                "is " + compat::general(rate.value) + ", expected a probability");
  struct Row {
    std::string_view key;
    std::int64_t value, highest;
  };
  // Far above any model, and far below sizes that exhaust memory before the first tensor is
  // compared.
  for (const Row& row : {Row{"decoder_layers", model.decoder_layers, 1024},
                         Row{"decoder_embed_dim", model.decoder_embed_dim, 1 << 20},
                         Row{"decoder_input_dim", model.decoder_input_dim, 1 << 20},
                         Row{"decoder_output_dim", model.decoder_output_dim, 1 << 20},
                         Row{"decoder_ffn_embed_dim", model.decoder_ffn_embed_dim, 1 << 22},
                         Row{"decoder_attention_heads", model.decoder_attention_heads, 1 << 16},
                         Row{"max_target_positions", model.max_target_positions, 1 << 24}})
    if (row.value < 1 || row.value > row.highest)
      throw compat::FormatError({config.file(), "cfg.model." + std::string(row.key), {}},
                                compat::concat("is ", row.value, ", expected 1 to ", row.highest));
  if (model.decoder_embed_dim % model.decoder_attention_heads != 0)
    throw compat::FormatError({config.file(), "cfg.model", {}},
                              compat::concat("decoder_embed_dim ", model.decoder_embed_dim,
                                             " is not a multiple of decoder_attention_heads ",
                                             model.decoder_attention_heads));
  if (model.share_decoder_input_output_embed && !model.has_adaptive_softmax() &&
      model.decoder_input_dim != model.decoder_output_dim)
    throw compat::FormatError(
        {config.file(), "cfg.model", {}},
        compat::concat("input and output embeddings are shared, but decoder_input_dim is ",
                       model.decoder_input_dim, " and decoder_output_dim ",
                       model.decoder_output_dim));
}

[[noreturn]] void refuse(const Config& config, std::string_view key, const std::string& problem) {
  throw compat::FormatError({config.file(), compat::concat("cfg.model.", key), {}}, problem);
}

/// "20000,60000" as fairseq writes it, or a list.
std::vector<std::int64_t> cutoffs_of(const Config& config, std::string_view key,
                                     std::string_view fallback) {
  compat::ConfigValue value{std::string(fallback)};
  if (const compat::ConfigValue* const found = config.find("model", key)) value = *found;
  const std::string shown = compat::printable(value.to_text(), 80);
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    if (text->empty()) return {};
    const bool bracketed = text->front() == '[' || text->front() == '(';
    try {
      value = compat::parse_python_literal(bracketed ? *text : "[" + *text + "]");
    } catch (const compat::UsageError&) {
      refuse(config, key, "is " + shown + ", expected numbers separated by commas");
    }
  }
  const auto* list = std::get_if<compat::ConfigValue::List>(&value.value);
  std::vector<std::int64_t> cutoffs;
  for (const compat::ConfigValue& item :
       list != nullptr ? *list : compat::ConfigValue::List{value}) {
    const auto* number = std::get_if<std::int64_t>(&item.value);
    if (number == nullptr)
      refuse(config, key, "is " + shown + ", expected whole numbers separated by commas");
    if (*number <= (cutoffs.empty() ? 0 : cutoffs.back()))
      refuse(config, key, "is " + shown + ", expected ascending numbers from 1 on");
    cutoffs.push_back(*number);
  }
  constexpr std::size_t kMost = 64;
  if (cutoffs.size() > kMost) refuse(config, key, "has more than 64 cutoffs");
  return cutoffs;
}

/// Every band must be at least one number wide.
void check_factor(const Config& config, std::string_view key, double factor, std::int64_t width,
                  std::size_t bands) {
  if (!(factor >= 1 && factor <= 1024))
    refuse(config, key, "is " + compat::general(factor) + ", expected 1 to 1024");
  if (bands > 0 && band_width(width, factor, bands) < 1)
    refuse(config, key,
           compat::concat("is ", compat::general(factor), ", which leaves no width to band ", bands,
                          " of ", width));
}

void set_adaptive_layers(const Config& config, Family family, TransformerConfig& model) {
  const bool wiki103 = family == Family::kWiki103;
  const auto flag = [&](std::string_view key) { return config.get_bool("model", key, wiki103); };
  const std::string_view cutoffs = wiki103 ? "20000,60000" : "";
  model.adaptive_input = flag("adaptive_input");
  model.adaptive_softmax_cutoff = cutoffs_of(config, "adaptive_softmax_cutoff", cutoffs);
  model.adaptive_input_cutoff = cutoffs_of(config, "adaptive_input_cutoff", cutoffs);
  model.adaptive_input_factor = config.get_float("model", "adaptive_input_factor", 4);
  model.adaptive_softmax_factor = config.get_float("model", "adaptive_softmax_factor", 4);
  model.adaptive_softmax_dropout =
      config.get_float("model", "adaptive_softmax_dropout", wiki103 ? 0.2 : 0);
  model.tie_adaptive_weights = flag("tie_adaptive_weights");
  model.tie_adaptive_proj = flag("tie_adaptive_proj");
  // An older switch, as fairseq's base_lm_architecture reads it.
  if (config.find("model", "no_tie_adaptive_proj") != nullptr &&
      !config.get_bool("model", "no_tie_adaptive_proj", false))
    model.tie_adaptive_proj = true;
}

void check_adaptive_layers(const Config& config, const TransformerConfig& model) {
  check_factor(config, "adaptive_softmax_factor", model.adaptive_softmax_factor,
               model.decoder_output_dim, model.adaptive_softmax_cutoff.size());
  if (!model.adaptive_input) {
    if (model.tie_adaptive_weights && model.has_adaptive_softmax())
      refuse(config, "tie_adaptive_weights", "is True, which needs adaptive_input");
    return;
  }
  if (model.adaptive_input_cutoff.empty())
    refuse(config, "adaptive_input_cutoff", "is missing, and adaptive_input is True");
  check_factor(config, "adaptive_input_factor", model.adaptive_input_factor,
               model.decoder_input_dim, model.adaptive_input_cutoff.size());
  if (!model.has_adaptive_softmax() && model.share_decoder_input_output_embed)
    refuse(config, "share_decoder_input_output_embed",
           "is True, which adaptive_input needs adaptive softmax and tie_adaptive_weights for");
  if (!model.tie_adaptive_weights) return;
  if (model.adaptive_input_cutoff != model.adaptive_softmax_cutoff ||
      model.adaptive_input_factor != model.adaptive_softmax_factor ||
      model.decoder_input_dim != model.decoder_output_dim ||
      model.decoder_embed_dim != model.decoder_output_dim)
    refuse(config, "tie_adaptive_weights",
           "is True, which needs the same cutoffs, factors and widths of input and output");
}

/// The names of a mixture's experts, if it has any. FormatError for another number than `count`.
std::vector<std::string> expert_names(const Config& config, std::int64_t count) {
  const compat::ConfigValue* const value = config.find("model", compat::kMoeExpertsKey);
  std::vector<std::string> names;
  if (value == nullptr || value->is_none()) return names;
  if (const auto* list = std::get_if<compat::ConfigValue::List>(&value->value))
    for (const compat::ConfigValue& item : *list)
      if (const auto* name = std::get_if<std::string>(&item.value)) names.push_back(*name);
  if (std::cmp_not_equal(names.size(), count))
    throw compat::FormatError(
        {config.file(), std::string("cfg.model.") + compat::kMoeExpertsKey, {}},
        compat::concat("is ", compat::printable(value->to_text(), 200), ", expected ", count,
                       " names"));
  return names;
}

/// The settings of layers with several experts. FormatError for what is impossible.
void set_mixture(const Config& config, TransformerConfig& model) {
  if (!compat::has_mixtures(config)) return;
  const auto fail = [&](const char* key, const std::string& problem) {
    throw compat::FormatError({config.file(), std::string("cfg.model.") + key, {}}, problem);
  };
  constexpr std::int64_t kMostExperts = 4096;
  model.moe_freq = config.get_int("model", compat::kMoeFreqKey, 0);
  model.moe_expert_count = config.get_int("model", compat::kMoeExpertCountKey, 0);
  if (model.moe_freq < 1 || model.moe_freq > model.decoder_layers)
    fail(compat::kMoeFreqKey, compat::concat("is ", model.moe_freq, ", expected 1 to ",
                                             model.decoder_layers, ", the number of layers"));
  if (model.moe_expert_count < 1 || model.moe_expert_count > kMostExperts)
    fail(compat::kMoeExpertCountKey,
         compat::concat("is ", model.moe_expert_count, ", expected 1 to ", kMostExperts));
  constexpr std::int64_t kMostBlocks = 1 << 16;  // a name each is listed before a tensor is read
  if (model.moe_expert_count * (model.decoder_layers / model.moe_freq) > kMostBlocks)
    fail(compat::kMoeExpertCountKey,
         compat::concat("is ", model.moe_expert_count, ", expected at most ", kMostBlocks,
                        " experts in all layers"));
  const std::string router =
      config.get_string("model", compat::kMoeRouterKey,
                        config.get_bool("model", compat::kMoeTop1Key, false) ? "top1" : "top2");
  const std::optional<Routing> routing = routing_of(router);
  if (!routing)
    fail(compat::kMoeRouterKey,
         "is " + compat::printable(router) + ", expected top1, top2 or soft");
  model.routing = *routing;
  model.moe_experts = expert_names(config, model.moe_expert_count);
}

/// The settings that only training uses.
void set_training_settings(const Config& config, Family family, TransformerConfig& model) {
  const auto rate = [&](std::string_view key, double fallback) {
    return config.get_float("model", key, fallback);
  };
  const bool wiki103 = family == Family::kWiki103;
  model.dropout = rate("dropout", family == Family::kGpt3 ? 0.0 : wiki103 ? 0.3 : 0.1);
  const bool drops_attention = family == Family::kGpt || family == Family::kGbw || wiki103;
  model.attention_dropout = rate("attention_dropout", drops_attention ? 0.1 : 0.0);
  model.activation_dropout = rate("activation_dropout", wiki103 ? 0.1 : 0);
  if (model.activation_dropout == 0)
    model.activation_dropout = rate("relu_dropout", 0);  // its older name
  model.decoder_layerdrop = rate("decoder_layerdrop", 0);
  model.checkpoint_activations = config.get_bool("model", "checkpoint_activations", false);
}

}  // namespace

TransformerConfig TransformerConfig::from(const Config& config) {
  TransformerConfig model;
  model.arch = arch_name(config);
  const Architecture& arch = find_architecture(model.arch, config.file());
  const Family family = arch.family;
  const bool gpt3 = family == Family::kGpt3;
  const auto integer = [&](std::string_view key, std::int64_t fallback) {
    return config.get_int("model", key, fallback);
  };
  const auto flag = [&](std::string_view key, bool fallback) {
    return config.get_bool("model", key, fallback);
  };
  model.activation_fn =
      config.get_string("model", "activation_fn", gpt3 || family == Family::kGpt ? "gelu" : "relu");
  model.decoder_embed_dim = integer("decoder_embed_dim", arch.embed_dim);
  // The architecture functions take the given width; the dataclass takes its own default.
  const std::int64_t embedding =
      family == Family::kDataclass ? arch.embed_dim : model.decoder_embed_dim;
  model.decoder_input_dim = integer("decoder_input_dim", embedding);
  model.decoder_output_dim = integer("decoder_output_dim", embedding);
  model.decoder_ffn_embed_dim =
      integer("decoder_ffn_embed_dim", gpt3 ? 4 * model.decoder_embed_dim : arch.ffn_embed_dim);
  model.decoder_layers = integer("decoder_layers", arch.layers);
  model.decoder_attention_heads = integer("decoder_attention_heads", arch.heads);
  const std::int64_t tokens_per_sample =
      integer("tokens_per_sample", config.get_int("task", "tokens_per_sample", 1024));
  model.max_target_positions = integer(
      "max_target_positions", config.get_int("task", "max_target_positions", tokens_per_sample));
  // Two older switches for the norm after the stack, as fairseq's base_lm_architecture reads them.
  const bool old = config.find("model", "no_tie_adaptive_proj") != nullptr;
  model.no_decoder_final_norm =
      old || flag("no_decoder_final_norm", family == Family::kGbw || family == Family::kWiki103);
  if (config.find("model", "decoder_final_norm") != nullptr)
    model.no_decoder_final_norm = !flag("decoder_final_norm", true);
  // Every architecture function sets it.
  model.decoder_normalize_before = flag("decoder_normalize_before", family != Family::kDataclass);
  model.no_token_positional_embeddings = flag("no_token_positional_embeddings", false);
  model.share_decoder_input_output_embed = flag("share_decoder_input_output_embed", gpt3);
  model.decoder_learned_pos = flag("decoder_learned_pos", gpt3);
  model.layernorm_embedding = flag("layernorm_embedding", false);
  model.no_scale_embedding = flag("no_scale_embedding", false);
  set_adaptive_layers(config, family, model);
  set_training_settings(config, family, model);
  model.layer_norm_epsilon = compat::layer_norm_epsilon(config);
  if (const std::string reasons = compat::unsupported_settings(config, model.activation_fn,
                                                               compat::AdaptiveLayers::kAccepted);
      !reasons.empty())
    throw compat::UnsupportedError(compat::printable(config.file(), 4096) +
                                   ": not supported: " + reasons);
  check_sizes(config, model);
  check_adaptive_layers(config, model);
  set_mixture(config, model);
  return model;
}

std::vector<std::pair<std::string_view, std::string>> settings_outside_weights(
    const TransformerConfig& model) {
  const auto text = [](bool value) { return std::string(value ? "True" : "False"); };
  const std::array values{
      // in the order of the keys
      model.activation_fn == "gelu_fast" ? std::string("gelu_accurate") : model.activation_fn,
      std::to_string(model.decoder_attention_heads),
      text(model.decoder_normalize_before),
      text(model.no_decoder_final_norm),
      text(model.decoder_learned_pos),
      text(model.no_scale_embedding),
      text(model.layernorm_embedding),
      text(model.no_token_positional_embeddings),
      compat::ConfigValue{model.layer_norm_epsilon}.to_text(),
      std::string(model.moe_freq > 0 ? routing_name(model.routing) : "")};
  static_assert(values.size() == compat::kSettingsOutsideWeights.size());
  std::vector<std::pair<std::string_view, std::string>> settings;
  for (std::size_t i = 0; i < values.size(); ++i)
    settings.emplace_back(compat::kSettingsOutsideWeights[i], values[i]);
  return settings;
}

std::string differing_setting(const TransformerConfig& found, const TransformerConfig& expected) {
  const auto ours = settings_outside_weights(found), theirs = settings_outside_weights(expected);
  for (std::size_t i = 0; i < ours.size(); ++i)
    if (ours[i].second != theirs[i].second)
      return std::string(ours[i].first) + " is " + compat::printable(ours[i].second) +
             ", expected " + compat::printable(theirs[i].second);
  return {};
}

}  // namespace btm
