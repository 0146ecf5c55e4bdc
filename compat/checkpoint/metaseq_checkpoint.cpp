#include "compat/checkpoint/metaseq_checkpoint.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/metaseq_tensors.h"
#include "compat/fairseq/config.h"
#include "compat/fairseq/config_json.h"

namespace compat {
namespace {

constexpr std::int64_t kPositionOffset = 2;  // the first position is padding_idx + 1

/// Settings of metaseq's models that fairseq 0.12.2 does not have.
constexpr std::array<std::string_view, 5> kOwnSettings{
    "tensor_parallel_init_model_on_gpu", "full_megatron_init",
    "fsdp_checkpoint_wrap_layer_frequency", "decoder_learned_sinusoidal", "self_attn_doc_sep"};

/// Settings that change the network in ways that fairseq has no word for.
constexpr std::array<std::string_view, 3> kUnknownNetworks{"use_stable_embedding", "disable_bias",
                                                           "disable_affine_ln"};

/// Settings that are taken over as they are. The last ones are there to be refused by name.
constexpr std::array<std::string_view, 13> kKeptSettings{"activation_fn",
                                                         "decoder_attention_heads",
                                                         "no_scale_embedding",
                                                         "dropout",
                                                         "attention_dropout",
                                                         "activation_dropout",
                                                         "checkpoint_activations",
                                                         "alibi",
                                                         "scale_fc",
                                                         "scale_attn",
                                                         "scale_heads",
                                                         "scale_resids",
                                                         "share_decoder_input_output_embed"};

const ConfigValue* find(const Config& config, std::string_view key) {
  return config.find("model", key);
}

Config config_of(const PickleNode& root, const std::string& file) {
  return Config::from_checkpoint(root.find("cfg"), root.find("args"), file);
}

const TensorView* find(const NamedTensors& model, std::string_view name) {
  const auto found = std::ranges::find(model, name, &NamedTensors::value_type::first);
  return found == model.end() ? nullptr : &found->second;
}

/// The sizes of a matrix that the decoder cannot lack.
std::array<std::int64_t, 2> sizes_of(const NamedTensors& model, std::string_view name,
                                     const std::string& file) {
  const TensorView* const view = find(model, name);
  if (view == nullptr || view->shape.size() != 2)
    throw FormatError({file, "model", {}},
                      concat("has no matrix '", name, "', expected a transformer decoder"));
  return {view->shape[0], view->shape[1]};
}

std::int64_t layers_of(const NamedTensors& model) {
  std::unordered_set<std::string_view> names;
  for (const auto& [name, view] : model) names.insert(name);
  std::int64_t layers = 0;
  while (names.contains(concat("decoder.layers.", layers, ".fc1.weight"))) ++layers;
  return layers;
}

void refuse_unknown_networks(const Config& config, const NamedTensors& model,
                             const std::string& file) {
  std::string reasons;
  for (const std::string_view key : kUnknownNetworks)
    if (find(config, key) != nullptr && config.get_bool("model", key, false))
      append_item(reasons, concat(key, "=True"));
  if (const std::int64_t separator = config.get_int("model", "self_attn_doc_sep", -1);
      separator != -1)
    append_item(reasons, concat("attention within documents (self_attn_doc_sep=", separator, ")"));
  for (const auto& [name, view] : model)
    if (name.find(".layers.") != name.rfind(".layers.")) {
      append_item(reasons, "layers in groups ('" + printable(name) + "')");
      break;
    }
  if (!reasons.empty())
    throw UnsupportedError(printable(file, 4096) + ": not supported: " + reasons);
}

/// fairseq's settings of the network. The sizes are those of the tensors.
ConfigValue settings_of(const Config& config, const NamedTensors& model, const std::string& file) {
  const auto [vocabulary, embedding] = sizes_of(model, "decoder.embed_tokens.weight", file);
  const auto [ffn, width] = sizes_of(model, "decoder.layers.0.fc1.weight", file);
  const TensorView* const output = find(model, "decoder.output_projection.weight");
  const TensorView* const positions = find(model, "decoder.embed_positions.weight");
  const bool has_norm = find(model, "decoder.layer_norm.weight") != nullptr;
  // Newer versions have no such key: their norms always come before.
  const bool pre_norm = config.get_bool("model", "decoder_normalize_before", has_norm);
  const std::int64_t samples = config.get_int("model", "tokens_per_sample",
                                              config.get_int("task", "tokens_per_sample", 1024));
  std::int64_t places = config.get_int("model", "max_target_positions",
                                       config.get_int("task", "max_target_positions", samples));
  if (positions != nullptr && positions->shape.size() == 2)
    places = std::max<std::int64_t>(positions->shape[0] - kPositionOffset, 1);
  if (find(config, "decoder_attention_heads") == nullptr)
    throw FormatError({file, "cfg.model", {}}, "has no decoder_attention_heads");
  ConfigValue::Dict values{
      {"_name", {"transformer_lm"}},
      {"decoder_embed_dim", {width}},
      {"decoder_input_dim", {embedding}},
      {"decoder_output_dim",
       {output != nullptr && output->shape.size() == 2 ? output->shape[1] : embedding}},
      {"decoder_ffn_embed_dim", {ffn}},
      {"decoder_layers", {layers_of(model)}},
      {"decoder_normalize_before", {pre_norm}},
      {"no_decoder_final_norm", {!has_norm}},
      {"decoder_learned_pos", {positions != nullptr}},
      {"no_token_positional_embeddings", {positions == nullptr}},
      {"tokens_per_sample", {std::min(samples, places)}},
      {"max_target_positions", {places}}};
  for (const std::string_view key : kKeptSettings)
    if (const ConfigValue* const value = find(config, key))
      values.emplace_back(std::string(key), *value);
  ConfigValue::Dict task{{"_name", {"language_modeling"}},
                         {"tokens_per_sample", {std::min(samples, places)}},
                         {"max_target_positions", {places}}};
  return {ConfigValue::Dict{{"model", {std::move(values)}}, {"task", {std::move(task)}}}};
}

}  // namespace

bool is_metaseq_checkpoint(const PickleNode& root, const std::string& file) {
  const PickleNode* const model = root.find("model");
  const auto* tensors = model == nullptr ? nullptr : model->get_if<PickleDict>();
  if (tensors == nullptr) return false;
  const PickleNode* const metadata = root.find("shard_metadata");
  if (metadata != nullptr && !metadata->is_none()) return true;
  for (const auto& [key, value] : tensors->items) {
    const auto* name = key->get_if<std::string>();
    if (name != nullptr && name->find("flat_param") != std::string::npos) return true;
  }
  const auto is_there = [&](std::string_view key) {
    const PickleNode* const entry = root.find(key);
    return entry != nullptr && !entry->is_none();
  };
  if (!is_there("cfg") && !is_there("args")) return false;
  const Config config = config_of(root, file);
  return std::ranges::any_of(kOwnSettings,
                             [&](std::string_view key) { return find(config, key) != nullptr; });
}

PickleTree metaseq_checkpoint(std::span<const MetaseqShard> shards) {
  const std::string& file = shards.front().file.path;
  const PickleNode& root = *shards.front().file.tree.root;
  const Config config = config_of(root, file);
  std::vector<NamedTensors> parts;
  for (std::size_t from = 0; from < shards.size();) {
    std::vector<const PickleNode*> roots;
    std::size_t to = from;
    for (; to < shards.size() && shards[to].part == shards[from].part; ++to)
      roots.push_back(shards[to].file.tree.root);
    parts.push_back(unflattened(roots, shards[from].file.path));
    from = to;
  }
  const bool tied = config.get_bool("model", "share_decoder_input_output_embed", false);
  const NamedTensors model = joined_parts(parts, tied, file);
  refuse_unknown_networks(config, model, file);
  PickleTree tree{std::make_shared<PickleArena>(), nullptr};
  PickleArena& arena = *tree.arena;
  PickleDict dict, tensors;
  tensors.ordered = true;
  for (const auto& [name, view] : model) arena.put(tensors, name, arena.tensor(view));
  arena.put(dict, "args", arena.none());
  arena.put(dict, "cfg", config_to_pickle(arena, settings_of(config, model, file)));
  arena.put(dict, "model", arena.make(std::move(tensors)));
  tree.root = arena.make(std::move(dict));
  for (const MetaseqShard& shard : shards) arena.keep(shard.file.tree.arena);
  return tree;
}

}  // namespace compat
