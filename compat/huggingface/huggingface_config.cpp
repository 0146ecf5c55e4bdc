#include "compat/huggingface/huggingface_config.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <variant>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/config.h"
#include "compat/fairseq/config_json.h"

namespace compat {
namespace {

using Settings = HuggingFaceConfig;

/// What the reader does with a key.
struct OnlyDefault {};  ///< Changes the network: refused unless it is the default.
struct NoEffect {
};  ///< Training, caching, generation, heads for other tasks: the scores stay the same.
using Use = std::variant<std::int64_t Settings::*, bool Settings::*, double Settings::*,
                         std::string Settings::*, OnlyDefault, NoEffect>;

struct Key {
  std::string_view name;
  std::string_view standard;  ///< The default, as a Python literal. Empty for a second name of a
                              ///< key above, whose value it replaces.
  Use use;
};

// The parameters of transformers 4.57's configuration classes.
// scripts/check_against_transformers.py compares the names.
constexpr std::array kOptKeys{
    Key{"vocab_size", "50272", &Settings::vocab},
    Key{"hidden_size", "768", &Settings::width},
    Key{"num_hidden_layers", "12", &Settings::layers},
    Key{"ffn_dim", "3072", &Settings::ffn},
    Key{"max_position_embeddings", "2048", &Settings::positions},
    Key{"do_layer_norm_before", "True", &Settings::pre_norm},
    Key{"_remove_final_layer_norm", "False", &Settings::remove_final_norm},
    Key{"word_embed_proj_dim", "None", &Settings::embedding_width},
    Key{"num_attention_heads", "12", &Settings::heads},
    Key{"activation_function", "'relu'", &Settings::activation},
    Key{"pad_token_id", "1", NoEffect{}},  // fairseq's <pad> has an embedding and a position too
    Key{"enable_bias", "True", OnlyDefault{}},
    Key{"layer_norm_elementwise_affine", "True", OnlyDefault{}},
    Key{"dropout", "0.1", NoEffect{}},
    Key{"attention_dropout", "0.0", NoEffect{}},
    Key{"layerdrop", "0.0", NoEffect{}},
    Key{"init_std", "0.02", NoEffect{}},
    Key{"use_cache", "True", NoEffect{}},
    Key{"bos_token_id", "2", NoEffect{}},
    Key{"eos_token_id", "2", NoEffect{}},
};

constexpr std::array kGpt2Keys{
    Key{"vocab_size", "50257", &Settings::vocab},
    Key{"n_positions", "1024", &Settings::positions},
    Key{"n_embd", "768", &Settings::width},
    Key{"n_layer", "12", &Settings::layers},
    Key{"n_head", "12", &Settings::heads},
    Key{"n_inner", "None", &Settings::ffn},
    Key{"max_position_embeddings", "", &Settings::positions},
    Key{"hidden_size", "", &Settings::width},
    Key{"num_hidden_layers", "", &Settings::layers},
    Key{"num_attention_heads", "", &Settings::heads},
    Key{"activation_function", "'gelu_new'", &Settings::activation},
    Key{"layer_norm_epsilon", "1e-05", &Settings::layer_norm_epsilon},
    Key{"scale_attn_weights", "True", OnlyDefault{}},
    Key{"scale_attn_by_inverse_layer_idx", "False", OnlyDefault{}},
    Key{"reorder_and_upcast_attn", "False",
        NoEffect{}},  // the same product, computed for half precision
    Key{"resid_pdrop", "0.1", NoEffect{}},
    Key{"embd_pdrop", "0.1", NoEffect{}},
    Key{"attn_pdrop", "0.1", NoEffect{}},
    Key{"initializer_range", "0.02", NoEffect{}},
    Key{"summary_type", "'cls_index'", NoEffect{}},
    Key{"summary_use_proj", "True", NoEffect{}},
    Key{"summary_activation", "None", NoEffect{}},
    Key{"summary_proj_to_labels", "True", NoEffect{}},
    Key{"summary_first_dropout", "0.1", NoEffect{}},
    Key{"use_cache", "True", NoEffect{}},
    Key{"bos_token_id", "50256", NoEffect{}},
    Key{"eos_token_id", "50256", NoEffect{}},
};

constexpr std::array kXglmKeys{
    Key{"vocab_size", "256008", &Settings::vocab},
    Key{"max_position_embeddings", "2048", &Settings::positions},
    Key{"d_model", "1024", &Settings::width},
    Key{"ffn_dim", "4096", &Settings::ffn},
    Key{"num_layers", "24", &Settings::layers},
    Key{"attention_heads", "16", &Settings::heads},
    Key{"hidden_size", "", &Settings::width},
    Key{"num_hidden_layers", "", &Settings::layers},
    Key{"num_attention_heads", "", &Settings::heads},
    Key{"activation_function", "'gelu'", &Settings::activation},
    Key{"scale_embedding", "True", &Settings::scale_embedding},
    Key{"pad_token_id", "1", &Settings::pad},
    Key{"dropout", "0.1", NoEffect{}},
    Key{"attention_dropout", "0.1", NoEffect{}},
    Key{"activation_dropout", "0.0", NoEffect{}},
    Key{"layerdrop", "0.0", NoEffect{}},
    Key{"init_std", "0.02", NoEffect{}},
    Key{"use_cache", "True", NoEffect{}},
    Key{"decoder_start_token_id", "2", NoEffect{}},
    Key{"bos_token_id", "0", NoEffect{}},
    Key{"eos_token_id", "2", NoEffect{}},
};

// The keys of PretrainedConfig that affect these three models.
constexpr std::array kCommonKeys{
    Key{"tie_word_embeddings", "True", &Settings::tied},
    Key{"pruned_heads", "{}", OnlyDefault{}},
    Key{"is_encoder_decoder", "False", OnlyDefault{}},
    Key{"add_cross_attention", "False", OnlyDefault{}},
    Key{"quantization_config", "None", OnlyDefault{}},
};

/// The activations of transformers that fairseq also has.
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kActivations{
    {{"relu", "relu"},
     {"relu2", "relu_squared"},
     {"gelu", "gelu"},
     {"gelu_python", "gelu"},
     {"gelu_new", "gelu_accurate"},
     {"gelu_fast", "gelu_accurate"},
     {"gelu_accurate", "gelu_accurate"},
     {"gelu_pytorch_tanh", "gelu_accurate"},
     {"gelu_python_tanh", "gelu_accurate"},
     {"tanh", "tanh"},
     {"linear", "linear"}}};

/// config.json, and the reasons found so far why fairseq has no such network.
class Reader {
 public:
  Reader(std::string_view text, const std::string& file)
      : root_(config_from_json(text, file)), file_(file) {
    if (!std::holds_alternative<ConfigValue::Dict>(root_.value))
      throw FormatError({file_, {}, {}}, "is not a JSON object, expected a configuration");
  }

  std::string model_type() const {
    const ConfigValue* const found = root_.find("model_type");
    if (found == nullptr)
      throw UnsupportedError(printable(file_, 4096) +
                             ": has no model_type, expected opt, gpt2 or xglm");
    const auto* text = std::get_if<std::string>(&found->value);
    if (text == nullptr) fail("model_type", config_to_json(*found), "a string");
    return *text;
  }
  void apply(std::span<const Key> keys, Settings& settings) {
    for (const Key& key : keys) {
      const ConfigValue* const found = root_.find(key.name);
      if (found == nullptr && key.standard.empty()) continue;
      std::visit(
          [&](auto use) {
            apply(key, found != nullptr ? *found : parse_python_literal(key.standard), settings,
                  use);
          },
          key.use);
    }
  }
  void refuse(const std::string& reason) { append_item(reasons_, reason); }
  void refuse_collected() const {
    if (!reasons_.empty())
      throw UnsupportedError(printable(file_, 4096) + ": not supported: " + reasons_);
  }
  [[noreturn]] void fail(std::string_view key, const std::string& found,
                         const std::string& expected) const {
    throw FormatError({file_, std::string(key), {}},
                      "is " + printable(found, 60) + ", expected " + expected);
  }

 private:
  void apply(const Key& key, const ConfigValue& value, Settings& settings,
             std::int64_t Settings::*member) const {
    // null here means the default: the size of another key.
    if (value.is_none() && key.standard == "None") return;
    const auto* number = std::get_if<std::int64_t>(&value.value);
    const bool is_pad = member == &Settings::pad;
    if (is_pad && value.is_none()) return;
    if (number == nullptr || *number < (is_pad ? 0 : 1) || *number > (std::int64_t{1} << 32))
      fail(key.name, config_to_json(value), "a count");
    settings.*member = *number;
  }
  void apply(const Key& key, const ConfigValue& value, Settings& settings,
             bool Settings::*member) const {
    const auto* flag = std::get_if<bool>(&value.value);
    if (flag == nullptr) fail(key.name, config_to_json(value), "true or false");
    settings.*member = *flag;
  }
  void apply(const Key& key, const ConfigValue& value, Settings& settings,
             double Settings::*member) const {
    const auto* whole = std::get_if<std::int64_t>(&value.value);
    const auto* number = std::get_if<double>(&value.value);
    const double found = whole != nullptr    ? static_cast<double>(*whole)
                         : number != nullptr ? *number
                                             : -1;
    if (!(found >= 0 && found <= 1)) fail(key.name, config_to_json(value), "a number from 0 to 1");
    settings.*member = found;
  }
  void apply(const Key& key, const ConfigValue& value, Settings& settings,
             std::string Settings::*member) const {
    const auto* text = std::get_if<std::string>(&value.value);
    if (text == nullptr) fail(key.name, config_to_json(value), "a string");
    settings.*member = *text;
  }
  void apply(const Key& key, const ConfigValue& value, Settings&, OnlyDefault) {
    const bool empty = value.is_none() && key.standard == "{}";
    if (!empty && value.to_text() != key.standard)
      refuse(std::string(key.name) + " " + printable(config_to_json(value), 40));
  }
  void apply(const Key&, const ConfigValue&, Settings&, NoEffect) const {}

  ConfigValue root_;
  std::string file_, reasons_;
};

}  // namespace

HuggingFaceConfig parse_hugging_face_config(std::string_view text, const std::string& file) {
  Reader reader(text, file);
  Settings settings;
  settings.model_type = reader.model_type();
  if (settings.model_type == "opt")
    reader.apply(kOptKeys, settings);
  else if (settings.model_type == "gpt2")
    reader.apply(kGpt2Keys, settings);
  else if (settings.model_type == "xglm")
    reader.apply(kXglmKeys, settings);
  else
    throw UnsupportedError(printable(file, 4096) + ": model_type '" +
                           printable(settings.model_type) + "' (supported: opt, gpt2, xglm)");
  reader.apply(kCommonKeys, settings);
  if (settings.ffn == 0) settings.ffn = 4 * settings.width;
  if (settings.embedding_width == 0) settings.embedding_width = settings.width;
  const auto activation = std::ranges::find(kActivations, settings.activation,
                                            &std::pair<std::string_view, std::string_view>::first);
  if (activation == kActivations.end())
    reader.refuse("activation_function '" + printable(settings.activation, 40) + "'");
  else
    settings.activation = activation->second;
  if (settings.model_type == "xglm") {
    settings.learned_positions = false;
    // The sinusoid of that row is zero. In fairseq the zero row is row 1, and tokens use rows from
    // 2 on.
    if (settings.pad > 1)
      reader.refuse(concat("pad_token_id ", settings.pad,
                           " (the sinusoid of that row is zero, in fairseq that of row 1)"));
  }
  reader.refuse_collected();
  if (settings.width % settings.heads != 0)
    throw FormatError({file, {}, {}},
                      concat("has ", settings.heads, " attention heads for a width of ",
                             settings.width, ", expected a number that divides it"));
  return settings;
}

}  // namespace compat
