#include "btm/trainer/state_dict.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "btm/model/tensor_bridge.h"
#include "btm/trainer/optimizer_state.h"

namespace btm {

compat::NamedTensors state_dict(const FlatParameters& flat, const at::Tensor& buffer,
                                const TransformerConfig& config, double version) {
  const std::vector<at::Tensor> values = snapshot(flat, buffer);
  compat::NamedTensors model;
  model.emplace_back("decoder.version", to_view(at::full({1}, version, at::kFloat)));
  compat::TensorView embedding;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string& name = flat.slots()[i].name;
    // fairseq's sinusoids have an unused buffer in place of learned positions.
    if (name.starts_with("decoder.layers.0.self_attn.k_proj.weight") &&
        !config.decoder_learned_pos && !config.no_token_positional_embeddings)
      model.emplace_back("decoder.embed_positions._float_tensor",
                         to_view(at::zeros({1}, at::kFloat)));
    model.emplace_back(name, to_view(values[i]));
    if (name == "decoder.embed_tokens.weight") embedding = model.back().second;
  }
  if (config.share_decoder_input_output_embed)
    model.emplace_back("decoder.output_projection.weight", embedding);
  return model;
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
