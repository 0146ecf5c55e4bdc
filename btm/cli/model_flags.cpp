#include "btm/cli/model_flags.h"

#include <algorithm>
#include <string_view>

#include "compat/base/numbers.h"

namespace btm {
namespace {

/// The flag of a key: decoder_layers is --decoder-layers.
std::string flag_of(std::string_view key) {
  std::string flag = "--" + std::string(key);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

/// As a command line has it: a list without brackets, a text without quotes.
std::string value_text(const compat::ConfigValue& value) {
  if (const auto* const text = std::get_if<std::string>(&value.value)) return *text;
  const auto* const list = std::get_if<compat::ConfigValue::List>(&value.value);
  if (list == nullptr) return value.to_text();
  std::string text;
  for (const compat::ConfigValue& item : *list) text += (text.empty() ? "" : ",") + item.to_text();
  return text;
}

}  // namespace

std::vector<std::string> training_flags(const compat::Config& config) {
  std::vector<std::string> flags;
  const auto add = [&](const char* section, std::string_view key, const std::string& flag) {
    const compat::ConfigValue* const value = config.find(section, key);
    if (value != nullptr) flags.insert(flags.end(), {flag, value_text(*value)});
  };
  for (const auto& [section, flag] :
       {std::pair{"optimizer", "--optimizer"}, {"lr_scheduler", "--lr-scheduler"}})
    add(section, config.is_flat() ? section : "_name", flag);
  for (const auto& [section, key] : {std::pair{"dataset", "batch_size"},
                                     {"dataset", "max_tokens"},
                                     {"optimization", "update_freq"},
                                     {"optimization", "max_update"},
                                     {"optimization", "lr"},
                                     {"optimization", "clip_norm"},
                                     {"optimizer", "adam_betas"},
                                     {"optimizer", "adam_eps"},
                                     {"optimizer", "weight_decay"},
                                     {"lr_scheduler", "warmup_updates"},
                                     {"task", "sample_break_mode"}})
    add(section, key, flag_of(key));
  // A schedule that ends with the training does so at another --max-update, too.
  const double updates = config.get_float("optimization", "max_update", 0);
  if (config.get_float("lr_scheduler", "total_num_update", updates) != updates)
    add("lr_scheduler", "total_num_update", "--total-num-update");
  for (const char* const key : {"save_interval_updates", "keep_interval_updates"})
    if (config.get_int("checkpoint", key, 0) > 0) add("checkpoint", key, flag_of(key));
  for (const auto& [section, key] :
       {std::pair{"checkpoint", "no_epoch_checkpoints"}, {"dataset", "disable_validation"}})
    if (config.get_bool(section, key, false)) flags.push_back(flag_of(key));
  return flags;
}

std::vector<std::string> model_flags(const compat::Config& config) {
  const std::string arch = config.is_flat() ? config.get_string("", "arch", "transformer_lm")
                                            : config.get_string("model", "_name", "transformer_lm");
  std::vector<std::string> flags{"--arch", arch};
  const auto add = [&](std::string_view key, std::string value) {
    flags.push_back(flag_of(key));
    flags.push_back(std::move(value));
  };
  const auto add_integer = [&](const char* section, std::string_view key) {
    if (config.find(section, key) != nullptr)
      add(key, std::to_string(config.get_int(section, key, 0)));
  };
  for (const char* const key : {"decoder_layers", "decoder_embed_dim", "decoder_ffn_embed_dim",
                                "decoder_attention_heads", "max_target_positions"})
    add_integer("model", key);
  // fairseq's gpt3 architectures take the width for both.
  if (!arch.starts_with("transformer_lm_gpt3"))
    for (const char* const key : {"decoder_input_dim", "decoder_output_dim"})
      add_integer("model", key);
  add_integer("task", "tokens_per_sample");
  for (const char* const key : {"dropout", "attention_dropout", "activation_dropout"})
    if (config.find("model", key) != nullptr)
      add(key, compat::general(config.get_float("model", key, 0)));
  if (config.find("model", "activation_fn") != nullptr)
    add("activation_fn", config.get_string("model", "activation_fn", ""));
  for (const char* const key :
       {"decoder_normalize_before", "no_decoder_final_norm", "no_token_positional_embeddings",
        "share_decoder_input_output_embed", "decoder_learned_pos", "layernorm_embedding",
        "no_scale_embedding"})
    if (config.get_bool("model", key, false)) flags.push_back(flag_of(key));
  return flags;
}

}  // namespace btm
