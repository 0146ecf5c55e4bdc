#include "compat/huggingface.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/byte_reader.h"
#include "compat/config_json.h"
#include "compat/error.h"
#include "compat/json_text.h"
#include "compat/mapped_file.h"
#include "compat/safetensors.h"
#include "compat/torch_file.h"

namespace compat {
namespace {

namespace fs = std::filesystem;
using Tensors = std::vector<std::pair<std::string, TensorView>>;

constexpr std::int64_t kPositionOffset = 2;  // fairseq's first position is padding_idx + 1

/// config.json, with the reasons collected for which the model is none of fairseq's.
class JsonConfig {
 public:
  JsonConfig(const std::string& text, const std::string& file) : config_(config_from_json(text, file), file) {}

  std::int64_t integer(const char* key, std::int64_t fallback = -1) const {
    const std::int64_t value = top().get_int("", key, fallback);
    if (value < 0 || value > (std::int64_t{1} << 32)) throw FormatError({config_.file(), key, {}}, "is " + std::to_string(value) + " or missing, expected a count");
    return value;
  }
  bool flag(const char* key, bool fallback) const { return top().get_bool("", key, fallback); }
  std::string text(const char* key, const char* fallback) const { return top().get_string("", key, fallback); }
  void require(bool fine, const std::string& reason) {
    if (!fine) reasons_ += (reasons_.empty() ? "" : ", ") + reason;
  }
  void refuse_collected() const {
    if (!reasons_.empty()) throw UnsupportedError(printable(config_.file(), 4096) + ": not supported: " + reasons_);
  }
  const std::string& file() const { return config_.file(); }

 private:
  /// Config looks into sections; config.json has none.
  Config top() const {
    ConfigValue root;
    root.value = ConfigValue::Dict{{"", config_.root()}};
    return Config(std::move(root), config_.file());
  }
  Config config_;
  std::string reasons_;
};

/// The sizes and switches all three architectures share.
struct Shape {
  std::int64_t vocab = 0, width = 0, ffn = 0, layers = 0, heads = 0, positions = 0;
  std::string activation = "relu";
  bool pre_norm = true, final_norm = true, learned_positions = true, scale_embedding = false, tied = true;
};

std::string fairseq_activation(JsonConfig& config, const std::string& name) {
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return "gelu_accurate";
  if (name == "relu2") return "relu_squared";
  config.require(name == "relu" || name == "gelu" || name == "tanh" || name == "linear", "activation " + printable(name));
  return name;
}

ConfigValue cfg_of(const Shape& shape) {
  ConfigValue::Dict model{{"_name", {"transformer_lm"}},
                          {"activation_fn", {shape.activation}},
                          {"dropout", {0.0}},
                          {"attention_dropout", {0.0}},
                          {"activation_dropout", {0.0}},
                          {"decoder_embed_dim", {shape.width}},
                          {"decoder_output_dim", {shape.width}},
                          {"decoder_input_dim", {shape.width}},
                          {"decoder_ffn_embed_dim", {shape.ffn}},
                          {"decoder_layers", {shape.layers}},
                          {"decoder_attention_heads", {shape.heads}},
                          {"decoder_normalize_before", {shape.pre_norm}},
                          {"no_decoder_final_norm", {!shape.final_norm}},
                          {"share_decoder_input_output_embed", {shape.tied}},
                          {"decoder_learned_pos", {shape.learned_positions}},
                          {"no_scale_embedding", {!shape.scale_embedding}},
                          {"tokens_per_sample", {shape.positions}},
                          {"max_target_positions", {shape.positions}}};
  ConfigValue::Dict task{{"_name", {"language_modeling"}}, {"tokens_per_sample", {shape.positions}}, {"max_target_positions", {shape.positions}}};
  return {ConfigValue::Dict{{"model", {std::move(model)}}, {"task", {std::move(task)}}}};
}

/// Tensors by their names, each to be taken once.
class Source {
 public:
  Source(const Tensors& tensors, std::string file) : file_(std::move(file)) {
    for (const auto& [name, view] : tensors) by_name_.emplace(name, &view);
  }
  const TensorView* find(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return nullptr;
    taken_.insert(name);
    return found->second;
  }
  TensorView take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const TensorView* const view = find(name);
    if (view == nullptr) throw FormatError({file_, {}, {}}, "has no tensor '" + printable(name) + "'");
    if (view->shape != shape) throw FormatError({file_, {}, {}}, "'" + printable(name) + "' is not of the shape that config.json says");
    return *view;
  }
  /// Buffers that are no weights are passed over.
  void refuse_left_over() const {
    for (const auto& [name, view] : by_name_) {
      const bool buffer = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with("embed_positions.weights");
      if (!buffer && !taken_.contains(name)) throw FormatError({file_, {}, {}}, "has the tensor '" + printable(name) + "', which config.json does not say");
    }
  }

 private:
  std::string file_;
  std::map<std::string, const TensorView*> by_name_;
  std::set<std::string> taken_;
};

TensorView columns_as_rows(const TensorView& view, std::int64_t from, std::int64_t count) {
  TensorView part = view;
  part.offset += from * view.stride[1];
  part.shape = {count, view.shape[0]};
  part.stride = {view.stride[1], view.stride[0]};
  return part;
}

TensorView elements(const TensorView& view, std::int64_t from, std::int64_t count) {
  TensorView part = view;
  part.offset += from * view.stride[0];
  part.shape = {count};
  return part;
}

/// Two rows of zeros that no token reaches, then the table.
TensorView with_unused_rows(const TensorView& table) {
  auto storage = Storage::computed(table.dtype(), static_cast<std::uint64_t>(table.numel() + kPositionOffset * table.shape[1]),
                                   [table](const Storage::Sink& sink) {
                                     const std::vector<std::byte> zeros(static_cast<std::size_t>(kPositionOffset * table.shape[1]) * element_size(table.dtype()));
                                     sink(zeros);
                                     std::vector<std::byte> scratch;
                                     sink(table.contiguous_bytes(scratch));
                                   });
  return TensorView::contiguous(std::move(storage), {table.shape[0] + kPositionOffset, table.shape[1]});
}

/// The parts of a layer that OPT and XGLM name as fairseq does.
void add_layer(Tensors& out, Source& source, const Shape& shape, const std::string& from, const std::string& to) {
  struct Row {
    const char* name;
    std::vector<std::int64_t> weight;
  };
  const std::int64_t d = shape.width;
  for (const Row& row : {Row{"self_attn.k_proj", {d, d}}, Row{"self_attn.v_proj", {d, d}}, Row{"self_attn.q_proj", {d, d}},
                         Row{"self_attn.out_proj", {d, d}}, Row{"self_attn_layer_norm", {d}}, Row{"fc1", {shape.ffn, d}},
                         Row{"fc2", {d, shape.ffn}}, Row{"final_layer_norm", {d}}}) {
    out.emplace_back(to + row.name + ".weight", source.take(from + row.name + ".weight", row.weight));
    out.emplace_back(to + row.name + ".bias", source.take(from + row.name + ".bias", {row.weight[0]}));
  }
}

void add_output(Tensors& out, Source& source, Shape& shape, bool tied) {
  const TensorView* const head = source.find("lm_head.weight");
  shape.tied = tied || head == nullptr;
  if (!shape.tied) out.emplace_back("decoder.output_projection.weight", source.take("lm_head.weight", {shape.vocab, shape.width}));
}

Shape read_opt(JsonConfig& config, const Tensors& tensors, Source& source, Tensors& out) {
  Shape shape{config.integer("vocab_size"), config.integer("hidden_size"), config.integer("ffn_dim"), config.integer("num_hidden_layers"),
              config.integer("num_attention_heads"), config.integer("max_position_embeddings")};
  shape.activation = fairseq_activation(config, config.text("activation_function", "relu"));
  shape.pre_norm = config.flag("do_layer_norm_before", true);
  shape.final_norm = shape.pre_norm && !config.flag("_remove_final_layer_norm", false);
  config.require(config.flag("enable_bias", true), "enable_bias false");
  config.require(config.flag("layer_norm_elementwise_affine", true), "layer_norm_elementwise_affine false");
  config.require(config.integer("word_embed_proj_dim", shape.width) == shape.width, "word_embed_proj_dim other than hidden_size");
  config.refuse_collected();
  const bool long_names = std::ranges::any_of(tensors, [](const auto& item) { return item.first.starts_with("model."); });
  const std::string prefix = long_names ? "model.decoder." : "decoder.";
  out.emplace_back("decoder.embed_tokens.weight", source.take(prefix + "embed_tokens.weight", {shape.vocab, shape.width}));
  out.emplace_back("decoder.embed_positions.weight",
                   source.take(prefix + "embed_positions.weight", {shape.positions + kPositionOffset, shape.width}));
  for (std::int64_t i = 0; i < shape.layers; ++i)
    add_layer(out, source, shape, prefix + "layers." + std::to_string(i) + ".", "decoder.layers." + std::to_string(i) + ".");
  if (shape.final_norm)
    for (const char* const end : {"weight", "bias"})
      out.emplace_back(std::string("decoder.layer_norm.") + end, source.take(prefix + "final_layer_norm." + end, {shape.width}));
  add_output(out, source, shape, config.flag("tie_word_embeddings", true));
  return shape;
}

Shape read_xglm(JsonConfig& config, const Tensors&, Source& source, Tensors& out) {
  Shape shape{config.integer("vocab_size"), config.integer("d_model"), config.integer("ffn_dim"), config.integer("num_layers"),
              config.integer("attention_heads"), config.integer("max_position_embeddings")};
  shape.activation = fairseq_activation(config, config.text("activation_function", "gelu"));
  shape.learned_positions = false;
  shape.scale_embedding = config.flag("scale_embedding", true);
  config.refuse_collected();
  out.emplace_back("decoder.embed_tokens.weight", source.take("model.embed_tokens.weight", {shape.vocab, shape.width}));
  for (std::int64_t i = 0; i < shape.layers; ++i)
    add_layer(out, source, shape, "model.layers." + std::to_string(i) + ".", "decoder.layers." + std::to_string(i) + ".");
  for (const char* const end : {"weight", "bias"})
    out.emplace_back(std::string("decoder.layer_norm.") + end, source.take(std::string("model.layer_norm.") + end, {shape.width}));
  add_output(out, source, shape, config.flag("tie_word_embeddings", true));
  return shape;
}

void add_gpt2_layer(Tensors& out, Source& source, const Shape& shape, const std::string& from, const std::string& to) {
  const std::int64_t d = shape.width;
  const TensorView qkv = source.take(from + "attn.c_attn.weight", {d, 3 * d}), qkv_bias = source.take(from + "attn.c_attn.bias", {3 * d});
  const auto linear = [&](const std::string& name, const char* old, std::int64_t in, std::int64_t outputs) {
    out.emplace_back(to + name + ".weight", columns_as_rows(source.take(from + old + ".weight", {in, outputs}), 0, outputs));
    out.emplace_back(to + name + ".bias", source.take(from + old + ".bias", {outputs}));
  };
  const auto norm = [&](const std::string& name, const char* old) {
    for (const std::string end : {".weight", ".bias"}) out.emplace_back(to + name + end, source.take(from + old + end, {d}));
  };
  for (const auto& [name, part] : {std::pair{"k", 1}, std::pair{"v", 2}, std::pair{"q", 0}}) {
    out.emplace_back(to + "self_attn." + name + "_proj.weight", columns_as_rows(qkv, part * d, d));
    out.emplace_back(to + "self_attn." + name + "_proj.bias", elements(qkv_bias, part * d, d));
  }
  linear("self_attn.out_proj", "attn.c_proj", d, d);
  norm("self_attn_layer_norm", "ln_1");
  linear("fc1", "mlp.c_fc", d, shape.ffn);
  linear("fc2", "mlp.c_proj", shape.ffn, d);
  norm("final_layer_norm", "ln_2");
}

Shape read_gpt2(JsonConfig& config, const Tensors& tensors, Source& source, Tensors& out) {
  Shape shape{config.integer("vocab_size"), config.integer("n_embd"), 0, config.integer("n_layer"), config.integer("n_head"), config.integer("n_positions")};
  shape.ffn = config.integer("n_inner", 4 * shape.width);
  shape.activation = fairseq_activation(config, config.text("activation_function", "gelu_new"));
  config.require(config.flag("scale_attn_weights", true), "scale_attn_weights false");
  config.require(!config.flag("scale_attn_by_inverse_layer_idx", false), "scale_attn_by_inverse_layer_idx");
  config.refuse_collected();
  const bool long_names = std::ranges::any_of(tensors, [](const auto& item) { return item.first.starts_with("transformer."); });
  const std::string prefix = long_names ? "transformer." : "";
  out.emplace_back("decoder.embed_tokens.weight", source.take(prefix + "wte.weight", {shape.vocab, shape.width}));
  out.emplace_back("decoder.embed_positions.weight", with_unused_rows(source.take(prefix + "wpe.weight", {shape.positions, shape.width})));
  for (std::int64_t i = 0; i < shape.layers; ++i)
    add_gpt2_layer(out, source, shape, prefix + "h." + std::to_string(i) + ".", "decoder.layers." + std::to_string(i) + ".");
  for (const char* const end : {"weight", "bias"})
    out.emplace_back(std::string("decoder.layer_norm.") + end, source.take(prefix + "ln_f." + end, {shape.width}));
  add_output(out, source, shape, config.flag("tie_word_embeddings", true));
  return shape;
}

/// What fairseq's state dict has besides: the format's version, an empty buffer of sinusoidal positions, a tied output.
void add_buffers(const Shape& shape, Tensors& tensors) {
  const auto single = [](float value) {
    return TensorView::contiguous(Storage::copy_of(DType::kFloat32, std::as_bytes(std::span(&value, 1))), {1});
  };
  if (shape.tied) tensors.emplace_back("decoder.output_projection.weight", tensors.front().second);
  if (!shape.learned_positions) tensors.insert(tensors.begin() + 1, {"decoder.embed_positions._float_tensor", single(0)});
  tensors.insert(tensors.begin(), {"decoder.version", single(3)});
}

}  // namespace

HuggingFaceModel read_hugging_face(const Tensors& tensors, const std::string& text, const std::string& file) {
  JsonConfig config(text, file);
  const std::string type = config.text("model_type", "");
  Source source(tensors, file);
  HuggingFaceModel model;
  Shape shape;
  if (type == "opt")
    shape = read_opt(config, tensors, source, model.tensors);
  else if (type == "gpt2")
    shape = read_gpt2(config, tensors, source, model.tensors);
  else if (type == "xglm")
    shape = read_xglm(config, tensors, source, model.tensors);
  else
    throw UnsupportedError(printable(file, 4096) + ": model_type '" + printable(type) + "' (supported: opt, gpt2, xglm)");
  source.refuse_left_over();
  add_buffers(shape, model.tensors);
  model.cfg = cfg_of(shape);
  return model;
}

bool has_hugging_face_names(const Tensors& tensors) {
  return std::ranges::none_of(tensors, [](const auto& item) { return item.first.starts_with("decoder.") && item.first.find("embed_tokens") != std::string::npos; });
}

Tensors hugging_face_tensors(const fs::path& folder) {
  if (const fs::path path = folder / "model.safetensors"; fs::exists(path)) return load_safetensors(path).tensors;
  if (const fs::path path = folder / "model.safetensors.index.json"; fs::exists(path)) {
    const auto file = MappedFile::open(path);
    const auto index = parse_json_object(as_chars(file->bytes()), {path.string(), {}, {}}, "an index of tensors by file");
    const auto map = index.find("weight_map");
    if (map == index.end() || !map->is_object()) throw FormatError({path.string(), {}, {}}, "has no weight_map, expected tensors by file");
    std::set<std::string> names;
    for (const auto& [tensor, name] : map->items()) {
      // A name leads to a file beside the index, never elsewhere.
      if (!name.is_string() || name.get<std::string>().find('/') != std::string::npos)
        throw FormatError({path.string(), {}, {}}, "'" + printable(tensor) + "' is in '" + printable(name.dump()) + "', expected a file's name");
      names.insert(name.get<std::string>());
    }
    Tensors tensors;
    for (const std::string& name : names)
      for (auto& tensor : load_safetensors(folder / name).tensors) tensors.push_back(std::move(tensor));
    return tensors;
  }
  const fs::path path = folder / "pytorch_model.bin";
  if (!fs::exists(path)) throw IoError(folder.string(), "neither model.safetensors, model.safetensors.index.json nor pytorch_model.bin is in the folder");
  const TorchFile file = load_torch_file(path);
  const auto* dict = file.tree.root->get_if<PickleDict>();
  if (dict == nullptr) throw FormatError({file.path, {}, {}}, "holds " + file.tree.root->describe() + ", expected a dict of tensors");
  Tensors tensors;
  for (const auto& [key, value] : dict->items)
    if (const auto* tensor = value->get_if<PickleTensor>(); tensor != nullptr && key->get_if<std::string>() != nullptr)
      tensors.emplace_back(*key->get_if<std::string>(), tensor->view);
  return tensors;
}

}  // namespace compat
