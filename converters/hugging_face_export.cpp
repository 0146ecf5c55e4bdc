#include "converters/hugging_face_export.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"
#include "converters/tensor_ops.h"

namespace converters {
namespace {

using compat::Config;
using compat::TensorView;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kPositionOffset = 2;  // fairseq's first position is padding_idx + 1

/// The settings in cfg that say how the weights are used.
struct ExportedSettings {
  std::int64_t heads = 0;
  std::string activation;  ///< The activation's name in transformers.
  bool pre_norm = true;
  double layer_norm_epsilon = compat::kLayerNormEpsilon;
  bool operator==(const ExportedSettings&) const = default;

  explicit ExportedSettings(const Config& config) {
    const std::string arch = config.is_flat() ? config.get_string("", "arch", "")
                                              : config.get_string("model", "_name", "");
    activation = config.get_string("model", "activation_fn",
                                   arch.find("gpt") != std::string::npos ? "gelu" : "relu");
    if (const std::string reasons = compat::unsupported_settings(config, activation);
        !reasons.empty())
      throw compat::UnsupportedError(compat::printable(config.file(), 4096) +
                                     ": not supported: " + reasons);
    if (compat::has_mixtures(config))
      throw compat::UnsupportedError(
          compat::printable(config.file(), 4096) +
          ": not supported: a mixture of experts, for which transformers has no class whose "
          "experts have biases (huggingface.md)");
    if (activation == "gelu_fast" || activation == "gelu_accurate") activation = "gelu_new";
    if (activation == "relu_squared") activation = "relu2";
    heads = config.get_int("model", "decoder_attention_heads", 0);
    pre_norm = config.get_bool("model", "decoder_normalize_before", arch != "transformer_lm");
    layer_norm_epsilon = compat::layer_norm_epsilon(config);
  }
};

/// A model's tensors by fairseq's names, its settings, and its sizes, which come from the tensors.
class Model {
 public:
  explicit Model(const compat::Checkpoint& checkpoint)
      : checkpoint_(checkpoint), config(checkpoint.config()), settings(config) {
    const TensorView embedding = take("decoder.embed_tokens.weight");
    if (embedding.shape.size() != 2) fail("'decoder.embed_tokens.weight' is no matrix");
    vocab = embedding.shape[0];
    width = embedding.shape[1];
    while (checkpoint.find(compat::concat("decoder.layers.", layers, ".fc1.weight")) != nullptr)
      ++layers;
    if (layers == 0) fail("has no tensor 'decoder.layers.0.fc1.weight'");
    ffn = checkpoint.find("decoder.layers.0.fc1.weight")->shape.at(0);
    if (settings.heads < 1) fail("cfg.model.decoder_attention_heads is missing");
    if (width % settings.heads != 0)
      fail(compat::concat("has ", settings.heads, " attention heads for a width of ", width,
                          ", expected a number that divides it"));
    final_norm = checkpoint.find("decoder.layer_norm.weight") != nullptr;
    if (final_norm && !version_keeps_norm()) {
      drops_norm = true;
      final_norm = false;
      for (const char* const name : {"decoder.layer_norm.weight", "decoder.layer_norm.bias"})
        taken_.insert(name);
    }
    learned = checkpoint.find("decoder.embed_positions.weight") != nullptr;
    tied = checkpoint.find("decoder.output_projection.weight") == nullptr ||
           config.get_bool("model", "share_decoder_input_output_embed", false);
    scale = config.get_bool("model", "no_scale_embedding", false)
                ? 1
                : std::sqrt(static_cast<double>(width));
    positions = learned ? take("decoder.embed_positions.weight").shape.at(0) - kPositionOffset
                        : config.get_int(
                              "model", "max_target_positions",
                              config.get_int("task", "max_target_positions",
                                             config.get_int("model", "tokens_per_sample", 1024)));
    if (!learned && config.get_bool("model", "no_token_positional_embeddings", false))
      refuse("no_token_positional_embeddings");
    for (const char* const buffer : {"decoder.version", "decoder.embed_positions._float_tensor",
                                     "decoder.embed_positions.weights"})
      taken_.insert(buffer);
  }

  TensorView take(const std::string& name) {
    const TensorView* const view = checkpoint_.find(name);
    if (view == nullptr) fail("has no tensor '" + name + "'");
    taken_.insert(name);
    return *view;
  }
  TensorView output() {
    if (checkpoint_.find("decoder.output_projection.weight") != nullptr)
      return take("decoder.output_projection.weight");
    return take("decoder.embed_tokens.weight");
  }
  TensorView embedding() {
    // In transformers a tied output projection overwrites the embedding.
    const TensorView view = tied ? output() : take("decoder.embed_tokens.weight");
    take("decoder.embed_tokens.weight");
    return view;
  }
  /// Rows 0 to positions + 1, in fairseq's count.
  TensorView position_table() {
    return learned ? take("decoder.embed_positions.weight")
                   : sinusoid_table(positions + kPositionOffset, width);
  }

  void refuse_left_over() const {
    std::string names;
    for (const auto& [name, view] : checkpoint_.model())
      if (!taken_.contains(name) && names.size() < 300)
        compat::append_item(names, compat::printable(name));
    if (!names.empty()) refuse("the tensors " + names);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw compat::UnsupportedError(compat::printable(checkpoint_.path(), 4096) +
                                   ": cannot be expressed as a Hugging Face model: " + what);
  }
  [[noreturn]] void fail(const std::string& problem) const {
    throw compat::FormatError({checkpoint_.path(), "model", {}}, problem);
  }

 private:
  /// fairseq drops the norm after the layers of a model of version 2 or less.
  bool version_keeps_norm() const {
    const TensorView* const version = checkpoint_.find("decoder.version");
    float value = 1;
    if (version != nullptr && version->numel() == 1)
      stream_floats(*version, [&](std::span<const float> values) { value = values[0]; });
    return value > 2;
  }

  const compat::Checkpoint& checkpoint_;
  std::set<std::string, std::less<>> taken_;

 public:
  const Config& config;
  const ExportedSettings settings;
  std::int64_t vocab = 0, width = 0, ffn = 0, layers = 0, positions = 0;
  bool final_norm = true, learned = true, tied = true;
  bool drops_norm = false;  ///< Has a norm after the layers, which fairseq ignores for its version.
  double scale = 1;
};

/// OPT and XGLM have fairseq's fixed epsilon.
void refuse_other_epsilon(const Model& model) {
  if (model.settings.layer_norm_epsilon != compat::kLayerNormEpsilon)
    model.refuse("layer_norm_epsilon " +
                 compat::ConfigValue{model.settings.layer_norm_epsilon}.to_text() +
                 " (GPT-2 has it)");
}

Json common_config(const char* architecture, const char* type) {
  return {{"architectures", {architecture}},
          {"model_type", type},
          {"bos_token_id", 2},
          {"eos_token_id", 2},
          {"pad_token_id", 1},
          {"use_cache", true}};
}

/// Embedding and output in the two forms that Hugging Face has. Either they are tied, or they are
/// separate and the embedding contains the scale.
void add_embeddings(Model& model, compat::NamedTensors& out, Json& config, const std::string& name,
                    bool scale_in_model) {
  const bool scale_here = model.scale != 1 && !scale_in_model;
  const bool tied = model.tied && !scale_here;
  out.emplace_back(name, scale_here ? scaled(model.embedding(), model.scale) : model.embedding());
  if (!tied) out.emplace_back("lm_head.weight", model.output());
  config["tie_word_embeddings"] = tied;
}

void add_same_layers(Model& model, compat::NamedTensors& out, const std::string& prefix) {
  for (std::int64_t i = 0; i < model.layers; ++i)
    for (const char* const part :
         {"self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj",
          "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"})
      for (const char* const end : {".weight", ".bias"}) {
        const std::string name = compat::concat("layers.", i, '.', part, end);
        out.emplace_back(prefix + name, model.take("decoder." + name));
      }
}

void add_final_norm(Model& model, compat::NamedTensors& out, const std::string& name) {
  for (const char* const end : {"weight", "bias"})
    out.emplace_back(name + end, model.take(std::string("decoder.layer_norm.") + end));
}

Json export_opt(Model& model, compat::NamedTensors& out) {
  refuse_other_epsilon(model);
  Json config = common_config("OPTForCausalLM", "opt");
  config.update({{"activation_function", model.settings.activation},
                 {"hidden_size", model.width},
                 {"word_embed_proj_dim", model.width},
                 {"ffn_dim", model.ffn},
                 {"num_hidden_layers", model.layers},
                 {"num_attention_heads", model.settings.heads},
                 {"max_position_embeddings", model.positions},
                 {"vocab_size", model.vocab},
                 {"do_layer_norm_before", model.settings.pre_norm},
                 {"_remove_final_layer_norm", model.settings.pre_norm && !model.final_norm},
                 {"enable_bias", true},
                 {"layer_norm_elementwise_affine", true},
                 {"dropout", 0.0},
                 {"attention_dropout", 0.0},
                 {"layerdrop", 0.0},
                 {"init_std", 0.02}});
  add_embeddings(model, out, config, "model.decoder.embed_tokens.weight", false);
  out.emplace_back("model.decoder.embed_positions.weight", model.position_table());
  add_same_layers(model, out, "model.decoder.");
  if (model.settings.pre_norm && model.final_norm)
    add_final_norm(model, out, "model.decoder.final_layer_norm.");
  if (!model.settings.pre_norm && model.final_norm)
    model.refuse("a norm after the layers of a post-norm model");
  return config;
}

Json export_xglm(Model& model, compat::NamedTensors& out) {
  refuse_other_epsilon(model);
  if (!model.settings.pre_norm || !model.final_norm || model.learned)
    model.refuse(
        "XGLM has pre-norm layers, a final norm and sinusoidal positions (OPT has the others)");
  Json config = common_config("XGLMForCausalLM", "xglm");
  config.update({{"activation_function", model.settings.activation},
                 {"d_model", model.width},
                 {"ffn_dim", model.ffn},
                 {"num_layers", model.layers},
                 {"attention_heads", model.settings.heads},
                 {"max_position_embeddings", model.positions},
                 {"vocab_size", model.vocab},
                 {"scale_embedding", model.scale != 1},
                 {"decoder_start_token_id", 2},
                 {"dropout", 0.0},
                 {"attention_dropout", 0.0},
                 {"activation_dropout", 0.0},
                 {"layerdrop", 0.0},
                 {"init_std", 0.02}});
  add_embeddings(model, out, config, "model.embed_tokens.weight", true);
  add_same_layers(model, out, "model.");
  add_final_norm(model, out, "model.layer_norm.");
  return config;
}

void add_gpt2_layer(Model& model, compat::NamedTensors& out, std::int64_t i) {
  const std::string from = compat::concat("decoder.layers.", i, '.'),
                    to = compat::concat("transformer.h.", i, '.');
  const auto all = [&](const char* end) {
    std::vector<TensorView> parts;
    for (const char* const part : {"q", "k", "v"})
      parts.push_back(model.take(from + "self_attn." + part + "_proj." + end));
    return joined_rows(parts);
  };
  const auto linear = [&](const char* name, const std::string& old) {
    out.emplace_back(to + name + ".weight", transposed(model.take(from + old + ".weight")));
    out.emplace_back(to + name + ".bias", model.take(from + old + ".bias"));
  };
  const auto norm = [&](const char* name, const std::string& old) {
    for (const char* const end : {".weight", ".bias"})
      out.emplace_back(to + name + end, model.take(from + old + end));
  };
  norm("ln_1", "self_attn_layer_norm");
  out.emplace_back(to + "attn.c_attn.weight", transposed(all("weight")));
  out.emplace_back(to + "attn.c_attn.bias", all("bias"));
  linear("attn.c_proj", "self_attn.out_proj");
  norm("ln_2", "final_layer_norm");
  linear("mlp.c_fc", "fc1");
  linear("mlp.c_proj", "fc2");
}

Json export_gpt2(Model& model, compat::NamedTensors& out) {
  if (!model.settings.pre_norm || !model.final_norm)
    model.refuse("GPT-2 has pre-norm layers and a final norm (OPT has the others)");
  Json config = common_config("GPT2LMHeadModel", "gpt2");
  config.update({{"activation_function", model.settings.activation},
                 {"n_embd", model.width},
                 {"n_inner", model.ffn},
                 {"n_layer", model.layers},
                 {"n_head", model.settings.heads},
                 {"n_positions", model.positions},
                 {"vocab_size", model.vocab},
                 {"layer_norm_epsilon", model.settings.layer_norm_epsilon},
                 {"embd_pdrop", 0.0},
                 {"attn_pdrop", 0.0},
                 {"resid_pdrop", 0.0},
                 {"scale_attn_weights", true}});
  add_embeddings(model, out, config, "transformer.wte.weight", false);
  out.emplace_back("transformer.wpe.weight",
                   rows(model.position_table(), kPositionOffset, model.positions));
  for (std::int64_t i = 0; i < model.layers; ++i) add_gpt2_layer(model, out, i);
  add_final_norm(model, out, "transformer.ln_f.");
  return config;
}

/// The configuration to store in the export. A norm that was left out is left out in it too.
compat::ConfigValue configuration_to_store(const Model& model) {
  compat::ConfigValue root = model.config.root();
  if (!model.drops_norm) return root;
  auto* section = std::get_if<compat::ConfigValue::Dict>(&root.value);
  for (auto& [name, value] : *section)
    if (!model.config.is_flat() && name == "model")
      section = std::get_if<compat::ConfigValue::Dict>(&value.value);
  std::erase_if(*section, [](const auto& item) {
    return item.first == "no_decoder_final_norm" || item.first == "decoder_final_norm";
  });
  section->emplace_back("no_decoder_final_norm", compat::ConfigValue{true});
  return root;
}

}  // namespace

HuggingFaceExport export_hugging_face(const compat::Checkpoint& checkpoint,
                                      const std::string& model_type, compat::DType dtype) {
  Model model(checkpoint);
  HuggingFaceExport result;
  result.model_type = model_type != "auto"                                            ? model_type
                      : !model.learned && model.settings.pre_norm && model.final_norm ? "xglm"
                                                                                      : "opt";
  Json config;
  if (result.model_type == "opt")
    config = export_opt(model, result.tensors);
  else if (result.model_type == "xglm")
    config = export_xglm(model, result.tensors);
  else
    config = export_gpt2(model, result.tensors);
  model.refuse_left_over();
  result.fairseq_config = configuration_to_store(model);
  config["torch_dtype"] = compat::dtype_name(dtype);
  result.config = config.dump(2) + "\n";
  for (auto& [name, view] : result.tensors) view = as_dtype(view, dtype);
  return result;
}

compat::NamedTensors undo_export(const compat::Checkpoint& mapped, const compat::Config& original) {
  const TensorView* const embedding = mapped.find("decoder.embed_tokens.weight");
  const TensorView* const output = mapped.find("decoder.output_projection.weight");
  const TensorView* const positions = mapped.find("decoder.embed_positions.weight");
  if (embedding == nullptr || output == nullptr || embedding->shape.size() != 2) return {};
  if (ExportedSettings(original) != ExportedSettings(mapped.config())) return {};
  const bool was_tied = original.get_bool("model", "share_decoder_input_output_embed", false);
  const bool was_scaled = !original.get_bool("model", "no_scale_embedding", false);
  const bool is_scaled = !mapped.config().get_bool("model", "no_scale_embedding", false);
  const bool was_learned = original.get_bool("model", "decoder_learned_pos", false);
  const double scale = std::sqrt(static_cast<double>(embedding->shape[1]));
  const bool undo_scale = was_scaled && !is_scaled;
  // An embedding that is separate from the output was scaled alone. That cannot be undone exactly.
  if (undo_scale && (!was_tied || !equal_when_scaled(*embedding, *output, scale))) return {};
  if (!undo_scale &&
      (was_scaled != is_scaled ||
       was_tied != mapped.config().get_bool("model", "share_decoder_input_output_embed", false)))
    return {};
  if (positions != nullptr && !was_learned &&
      !equal_when_scaled(*positions, sinusoid_table(positions->shape.at(0), positions->shape.at(1)),
                         1))
    return {};
  compat::NamedTensors model;
  for (const auto& [name, view] : mapped.model()) {
    if (name == "decoder.embed_tokens.weight" && undo_scale)
      model.emplace_back(name, *output);
    else if (name == "decoder.embed_positions.weight" && !was_learned)
      model.emplace_back("decoder.embed_positions._float_tensor",
                         tensor_of(std::vector<float>{0}, {1}));
    else
      model.emplace_back(name, view);
  }
  return model;
}

}  // namespace converters
