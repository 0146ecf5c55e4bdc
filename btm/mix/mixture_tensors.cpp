#include "btm/mix/mixture_tensors.h"

#include <algorithm>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/network_settings.h"
#include "compat/torch/finite.h"

namespace btm {
namespace {

using compat::ConfigValue;
using compat::FormatError;
using compat::TensorView;

void set_value(ConfigValue::Dict& dict, const char* key, ConfigValue value) {
  for (auto& [name, old] : dict)
    if (name == key) {
      old = std::move(value);
      return;
    }
  dict.emplace_back(key, std::move(value));
}

}  // namespace

std::string block_tensor(std::size_t layer, std::string_view part) {
  return compat::concat("decoder.layers.", layer, '.', part);
}

std::string expert_tensor(std::size_t layer, std::size_t expert, std::string_view part) {
  return compat::concat("decoder.layers.", layer, ".moe_layer.experts.", expert, '.', part);
}

std::string gate_tensor(std::size_t layer) {
  return compat::concat("decoder.layers.", layer, ".moe_layer.gate.wg.weight");
}

std::size_t dense_layers(const compat::Checkpoint& model) {
  if (compat::has_mixtures(model.config()))
    throw FormatError({model.path(), {}, {}},
                      "is a mixture of experts itself, expected a dense model (--add grows a "
                      "mixture)");
  std::size_t layers = 0;
  while (model.find(block_tensor(layers, kBlockTensors[0])) != nullptr) ++layers;
  const auto fail = [&](const std::string& problem) {
    throw FormatError({model.path(), "model", {}}, problem);
  };
  if (layers == 0) fail("has no tensor 'decoder.layers.0.fc1.weight', expected a transformer_lm");
  for (std::size_t layer = 0; layer < layers; ++layer)
    for (const char* const part : kBlockTensors)
      if (model.find(block_tensor(layer, part)) == nullptr)
        fail("has no tensor '" + block_tensor(layer, part) + "'");
  if (model.find("decoder.embed_tokens.weight") == nullptr ||
      model.find(block_tensor(0, "fc1.weight"))->shape.size() != 2)
    fail("has no embedding, or a block that is no matrix");
  return layers;
}

TensorView matrix_view(const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  return TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(values))),
      {rows, columns});
}

compat::NamedTensors mixed_tensors(const compat::NamedTensors& shared,
                                   std::span<const compat::Checkpoint> experts,
                                   std::span<const TensorView> gates) {
  compat::NamedTensors mixed;
  const auto layer_of = [&](const std::string& name, std::string_view part) {
    for (std::size_t layer = 0; layer < gates.size(); ++layer)
      if (name == block_tensor(layer, part)) return layer;
    return gates.size();
  };
  for (const auto& [name, view] : shared) {
    if (const std::size_t layer = layer_of(name, kBlockTensors[0]); layer < gates.size()) {
      mixed.emplace_back(gate_tensor(layer), gates[layer]);
      for (std::size_t e = 0; e < experts.size(); ++e)
        for (const char* const part : kBlockTensors)
          mixed.emplace_back(expert_tensor(layer, e, part),
                             *experts[e].find(block_tensor(layer, part)));
      continue;
    }
    const bool of_block = std::ranges::any_of(
        kBlockTensors, [&](const char* part) { return layer_of(name, part) < gates.size(); });
    if (!of_block) mixed.emplace_back(name, view);
  }
  return mixed;
}

ConfigValue mixture_settings(const compat::Config& config, const std::vector<std::string>& names,
                             Routing routing) {
  ConfigValue root = config.root();
  auto* dict = std::get_if<ConfigValue::Dict>(&root.value);
  if (dict != nullptr && !config.is_flat()) {
    const auto section = std::ranges::find(
        *dict, "model", [](const auto& item) { return std::string_view(item.first); });
    dict =
        section == dict->end() ? nullptr : std::get_if<ConfigValue::Dict>(&section->second.value);
  }
  if (dict == nullptr)
    throw FormatError({config.file(), "cfg.model", {}}, "is missing, expected the network's sizes");
  ConfigValue::List list;
  for (const std::string& name : names) list.push_back({name});
  set_value(*dict, compat::kMoeFreqKey, {std::int64_t{1}});
  set_value(*dict, compat::kMoeExpertCountKey, {static_cast<std::int64_t>(names.size())});
  set_value(*dict, compat::kMoeTop1Key, {routing == Routing::kTop1});
  set_value(*dict, compat::kMoeRouterKey, {std::string(routing_name(routing))});
  set_value(*dict, compat::kMoeExpertsKey, {std::move(list)});
  return root;
}

const compat::PickleNode* untrained_root(compat::PickleArena& arena, const ConfigValue& settings,
                                         bool flat, const compat::NamedTensors& model) {
  compat::PickleDict root;
  arena.put(root, "args", flat ? compat::namespace_to_pickle(arena, settings) : arena.none());
  arena.put(root, "cfg", flat ? arena.none() : compat::config_to_pickle(arena, settings));
  arena.put(root, "model", arena.none());
  return compat::with_model(arena, *arena.make(std::move(root)), model);
}

void check_blocks_finite(const compat::Checkpoint& model, std::size_t layers) {
  std::vector<std::byte> scratch;
  for (std::size_t layer = 0; layer < layers; ++layer)
    for (const char* const part : kBlockTensors) {
      const std::string name = block_tensor(layer, part);
      const TensorView& view = *model.find(name);
      compat::check_finite(view.contiguous_bytes(scratch), view.dtype(), model.path(), name);
      view.storage->release_pages();
    }
}

}  // namespace btm
