#include "compat/huggingface/huggingface.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"

namespace compat {
namespace {

using Settings = HuggingFaceConfig;

constexpr std::int64_t kPositionOffset = 2;  // fairseq's first position is padding_idx + 1

ConfigValue cfg_of(const Settings& settings) {
  const bool final_norm = settings.pre_norm && !settings.remove_final_norm;
  ConfigValue::Dict model{{"_name", {"transformer_lm"}},
                          {"activation_fn", {settings.activation}},
                          {"dropout", {0.0}},
                          {"attention_dropout", {0.0}},
                          {"activation_dropout", {0.0}},
                          {"decoder_embed_dim", {settings.width}},
                          {"decoder_output_dim", {settings.embedding_width}},
                          {"decoder_input_dim", {settings.embedding_width}},
                          {"decoder_ffn_embed_dim", {settings.ffn}},
                          {"decoder_layers", {settings.layers}},
                          {"decoder_attention_heads", {settings.heads}},
                          {"decoder_normalize_before", {settings.pre_norm}},
                          {"no_decoder_final_norm", {!final_norm}},
                          {"share_decoder_input_output_embed", {settings.tied}},
                          {"decoder_learned_pos", {settings.learned_positions}},
                          {"no_scale_embedding", {!settings.scale_embedding}},
                          {"tokens_per_sample", {settings.positions}},
                          {"max_target_positions", {settings.positions}}};
  if (settings.layer_norm_epsilon != kLayerNormEpsilon)
    model.emplace_back(kLayerNormEpsilonKey, ConfigValue{settings.layer_norm_epsilon});
  ConfigValue::Dict task{{"_name", {"language_modeling"}},
                         {"tokens_per_sample", {settings.positions}},
                         {"max_target_positions", {settings.positions}}};
  return {ConfigValue::Dict{{"model", {std::move(model)}}, {"task", {std::move(task)}}}};
}

/// The source's tensors by name. Each is to be taken once.
class Source {
 public:
  Source(const NamedTensors& tensors, std::string file) : file_(std::move(file)) {
    if (const std::string wrapper = wrapper_prefix(tensors); !wrapper.empty())
      refuse("its tensors' names begin with '" + wrapper +
             "', a prefix that a wrapper of the model adds: expected names without it");
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
    if (view == nullptr)
      throw FormatError({file_, {}, {}}, "has no tensor '" + printable(name) + "'");
    if (view->shape != shape)
      throw FormatError({file_, {}, {}},
                        "'" + printable(name) + "' is not of the shape that config.json says");
    if (!is_weight(view->dtype()))
      refuse("'" + printable(name) + "' holds " + std::string(dtype_name(view->dtype())) +
             ", expected floating point");
    return *view;
  }
  /// The first of `prefixes` with which the tensor `name` exists, or the first of all. transformers
  /// writes a model with an output layer under longer names than one without.
  std::string prefix_of(const std::string& name,
                        std::initializer_list<const char*> prefixes) const {
    for (const char* const prefix : prefixes)
      if (by_name_.contains(prefix + name)) return prefix;
    return *prefixes.begin();
  }
  /// FormatError for a tensor that was not taken, unless it is a buffer without weights.
  void refuse_left_over() const {
    for (const auto& [name, view] : by_name_) {
      const bool buffer = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
                          name.ends_with("embed_positions.weights");
      if (!buffer && !taken_.contains(name))
        refuse("has the tensor '" + printable(name) +
               "', which the model of config.json does not have");
    }
  }
  /// For tensors that contradict config.json: the model is damaged.
  [[noreturn]] void fail(const std::string& problem) const {
    throw FormatError({file_, {}, {}}, problem);
  }
  /// For a model that can be valid, but has a form that is not read here.
  [[noreturn]] void refuse(const std::string& problem) const {
    throw UnsupportedError(printable(file_, 4096) + ": " + problem);
  }

 private:
  static bool is_weight(DType dtype) {
    return dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kBFloat16 ||
           dtype == DType::kFloat64;
  }

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

/// The table after two rows of zeros that no token uses.
TensorView with_unused_rows(const TensorView& table) {
  auto storage = Storage::computed(
      table.dtype(), static_cast<std::uint64_t>(table.numel() + kPositionOffset * table.shape[1]),
      [table](const Storage::Sink& sink) {
        const std::vector<std::byte> zeros(
            static_cast<std::size_t>(kPositionOffset * table.shape[1]) *
            element_size(table.dtype()));
        sink(zeros);
        std::vector<std::byte> scratch;
        sink(table.contiguous_bytes(scratch));
      });
  return TensorView::contiguous(std::move(storage),
                                {table.shape[0] + kPositionOffset, table.shape[1]});
}

/// The parts of a layer whose names OPT, XGLM and fairseq share.
void add_layer(NamedTensors& out, Source& source, const Settings& settings, const std::string& from,
               const std::string& to) {
  struct Row {
    const char* name;
    std::vector<std::int64_t> weight;
  };
  const std::int64_t d = settings.width;
  for (const Row& row : {Row{"self_attn.k_proj", {d, d}}, Row{"self_attn.v_proj", {d, d}},
                         Row{"self_attn.q_proj", {d, d}}, Row{"self_attn.out_proj", {d, d}},
                         Row{"self_attn_layer_norm", {d}}, Row{"fc1", {settings.ffn, d}},
                         Row{"fc2", {d, settings.ffn}}, Row{"final_layer_norm", {d}}}) {
    out.emplace_back(to + row.name + ".weight",
                     source.take(from + row.name + ".weight", row.weight));
    out.emplace_back(to + row.name + ".bias",
                     source.take(from + row.name + ".bias", {row.weight[0]}));
  }
}

/// The output projection, when the model has its own.
void add_output(NamedTensors& out, Source& source, const Settings& settings) {
  const TensorView* const head = source.find("lm_head.weight");
  const std::vector<std::int64_t> shape{settings.vocab, settings.embedding_width};
  if (!settings.tied) {
    if (head == nullptr)
      source.refuse(
          "has no 'lm_head.weight', and tie_word_embeddings is false: the model has no output "
          "layer");
    out.emplace_back("decoder.output_projection.weight", source.take("lm_head.weight", shape));
    return;
  }
  const TensorView& embedding = out.front().second;
  if (head == nullptr || (head->storage == embedding.storage && head->offset == embedding.offset))
    return;
  std::vector<std::byte> scratch, embedding_scratch;
  if (!std::ranges::equal(source.take("lm_head.weight", shape).contiguous_bytes(scratch),
                          embedding.contiguous_bytes(embedding_scratch)))
    source.fail(
        "'lm_head.weight' differs from the embedding, expected equal values because "
        "tie_word_embeddings is true");
}

void add_norm(NamedTensors& out, Source& source, const Settings& settings, const std::string& from,
              const std::string& to) {
  for (const char* const end : {".weight", ".bias"})
    out.emplace_back(to + end, source.take(from + end, {settings.width}));
}

void map_opt(const Settings& settings, Source& source, NamedTensors& out) {
  const std::string prefix =
      source.prefix_of("embed_tokens.weight", {"model.decoder.", "decoder."});
  const std::int64_t d = settings.width, e = settings.embedding_width;
  out.emplace_back("decoder.embed_tokens.weight",
                   source.take(prefix + "embed_tokens.weight", {settings.vocab, e}));
  if (e != d) {
    out.emplace_back("decoder.project_in_dim.weight",
                     source.take(prefix + "project_in.weight", {d, e}));
    out.emplace_back("decoder.project_out_dim.weight",
                     source.take(prefix + "project_out.weight", {e, d}));
  }
  out.emplace_back(
      "decoder.embed_positions.weight",
      source.take(prefix + "embed_positions.weight", {settings.positions + kPositionOffset, d}));
  for (std::int64_t i = 0; i < settings.layers; ++i)
    add_layer(out, source, settings, concat(prefix, "layers.", i, '.'),
              concat("decoder.layers.", i, '.'));
  if (settings.pre_norm && !settings.remove_final_norm)
    add_norm(out, source, settings, prefix + "final_layer_norm", "decoder.layer_norm");
}

void map_xglm(const Settings& settings, Source& source, NamedTensors& out) {
  const std::string prefix = source.prefix_of("embed_tokens.weight", {"model.", ""});
  out.emplace_back("decoder.embed_tokens.weight",
                   source.take(prefix + "embed_tokens.weight", {settings.vocab, settings.width}));
  for (std::int64_t i = 0; i < settings.layers; ++i)
    add_layer(out, source, settings, concat(prefix, "layers.", i, '.'),
              concat("decoder.layers.", i, '.'));
  add_norm(out, source, settings, prefix + "layer_norm", "decoder.layer_norm");
}

void add_gpt2_layer(NamedTensors& out, Source& source, const Settings& settings,
                    const std::string& from, const std::string& to) {
  const std::int64_t d = settings.width;
  const TensorView qkv = source.take(from + "attn.c_attn.weight", {d, 3 * d}),
                   qkv_bias = source.take(from + "attn.c_attn.bias", {3 * d});
  const auto linear = [&](const std::string& name, const char* old, std::int64_t in,
                          std::int64_t outputs) {
    out.emplace_back(
        to + name + ".weight",
        columns_as_rows(source.take(from + old + ".weight", {in, outputs}), 0, outputs));
    out.emplace_back(to + name + ".bias", source.take(from + old + ".bias", {outputs}));
  };
  const auto norm = [&](const std::string& name, const char* old) {
    for (const std::string end : {".weight", ".bias"})
      out.emplace_back(to + name + end, source.take(from + old + end, {d}));
  };
  for (const auto& [name, part] : {std::pair{"k", 1}, std::pair{"v", 2}, std::pair{"q", 0}}) {
    out.emplace_back(to + "self_attn." + name + "_proj.weight", columns_as_rows(qkv, part * d, d));
    out.emplace_back(to + "self_attn." + name + "_proj.bias", elements(qkv_bias, part * d, d));
  }
  linear("self_attn.out_proj", "attn.c_proj", d, d);
  norm("self_attn_layer_norm", "ln_1");
  linear("fc1", "mlp.c_fc", d, settings.ffn);
  linear("fc2", "mlp.c_proj", settings.ffn, d);
  norm("final_layer_norm", "ln_2");
}

void map_gpt2(const Settings& settings, Source& source, NamedTensors& out) {
  const std::string prefix = source.prefix_of("wte.weight", {"transformer.", ""});
  out.emplace_back("decoder.embed_tokens.weight",
                   source.take(prefix + "wte.weight", {settings.vocab, settings.width}));
  out.emplace_back(
      "decoder.embed_positions.weight",
      with_unused_rows(source.take(prefix + "wpe.weight", {settings.positions, settings.width})));
  for (std::int64_t i = 0; i < settings.layers; ++i)
    add_gpt2_layer(out, source, settings, concat(prefix, "h.", i, '.'),
                   concat("decoder.layers.", i, '.'));
  add_norm(out, source, settings, prefix + "ln_f", "decoder.layer_norm");
}

/// The other entries of fairseq's state dict: the format's version, the empty buffer of sinusoidal
/// positions, a tied output projection.
void add_buffers(const Settings& settings, NamedTensors& tensors) {
  const auto single = [](float value) {
    return TensorView::contiguous(
        Storage::copy_of(DType::kFloat32, std::as_bytes(std::span(&value, 1))), {1});
  };
  if (settings.tied)
    tensors.emplace_back("decoder.output_projection.weight", tensors.front().second);
  if (!settings.learned_positions)
    tensors.insert(tensors.begin() + 1, {"decoder.embed_positions._float_tensor", single(0)});
  tensors.insert(tensors.begin(), {"decoder.version", single(3)});
}

}  // namespace

HuggingFaceModel read_hugging_face(const NamedTensors& tensors, const HuggingFaceConfig& settings,
                                   const std::string& file) {
  Source source(tensors, file);
  HuggingFaceModel model;
  if (settings.model_type == "opt")
    map_opt(settings, source, model.tensors);
  else if (settings.model_type == "gpt2")
    map_gpt2(settings, source, model.tensors);
  else
    map_xglm(settings, source, model.tensors);
  add_output(model.tensors, source, settings);
  source.refuse_left_over();
  add_buffers(settings, model.tensors);
  model.cfg = cfg_of(settings);
  return model;
}

bool has_hugging_face_names(const NamedTensors& tensors) {
  return std::ranges::none_of(tensors, [](const auto& item) {
    return item.first.starts_with("decoder.") &&
           item.first.find("embed_tokens") != std::string::npos;
  });
}

}  // namespace compat
