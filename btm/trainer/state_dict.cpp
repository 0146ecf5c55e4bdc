#include "btm/trainer/state_dict.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "btm/model/adaptive_softmax.h"
#include "btm/model/tensor_bridge.h"
#include "btm/trainer/optimizer_state.h"

namespace btm {

compat::NamedTensors state_dict(const FlatParameters& flat, const at::Tensor& buffer,
                                const TransformerConfig& config, double version) {
  const std::vector<at::Tensor> values = snapshot(flat, buffer);
  compat::NamedTensors model;
  const auto add_buffer = [&](const char* name) {
    model.emplace_back(name, to_view(at::zeros({1}, at::kFloat)));
  };
  model.emplace_back("decoder.version", to_view(at::full({1}, version, at::kFloat)));
  if (config.adaptive_input) add_buffer("decoder.embed_tokens._float_tensor");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string& name = flat.slots()[i].name;
    // fairseq's sinusoids have an unused buffer in place of learned positions.
    if (name.starts_with("decoder.layers.0.self_attn.k_proj.weight") &&
        !config.decoder_learned_pos && !config.no_token_positional_embeddings)
      add_buffer("decoder.embed_positions._float_tensor");
    model.emplace_back(name, to_view(values[i]));
  }
  if (config.has_adaptive_softmax())  // fairseq refuses a model without its version
    model.emplace_back("decoder.adaptive_softmax.version", to_view(at::ones({1}, at::kLong)));
  if (config.has_adaptive_softmax() && config.tie_adaptive_weights)
    add_buffer("decoder.adaptive_softmax.head._float_tensor");
  for (const auto& [name, original] : tied_names(flat, config))
    model.emplace_back(name, std::ranges::find(model, original, [](const auto& item) {
                               return item.first;
                             })->second);
  return model;
}

std::vector<std::pair<std::string, std::string>> tied_names(const FlatParameters& flat,
                                                            const TransformerConfig& config) {
  const auto bands = std::ranges::count_if(
      flat.slots(), [](const auto& slot) { return is_adaptive_embedding(slot.name); });
  return tied_names(config, static_cast<std::size_t>(bands));
}

compat::PickleNode* tensors_node(compat::PickleArena& arena, const compat::NamedTensors& tensors,
                                 bool ordered) {
  compat::PickleDict dict;
  dict.ordered = ordered;
  for (const auto& [name, view] : tensors)
    dict.items.emplace_back(arena.string(name), arena.tensor(view));
  return arena.make(std::move(dict));
}

}  // namespace btm
