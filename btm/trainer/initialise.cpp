#include "btm/trainer/initialise.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cmath>

namespace btm {
namespace {

/// Glorot and Bengio's uniform distribution for a weight [out, in].
void xavier_uniform(const at::Tensor& weight, double gain) {
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1)));
  weight.uniform_(-bound, bound);
}

void normal_embedding(const at::Tensor& weight, bool zero_padding) {
  weight.normal_(0, 1 / std::sqrt(static_cast<double>(weight.size(1))));
  if (zero_padding) weight[TransformerLM::kPaddingIdx].zero_();
}

/// torch's default for a Linear of `fan_in` inputs, weights and biases alike.
void uniform_by_fan_in(const at::Tensor& tensor, std::int64_t fan_in) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  tensor.uniform_(-bound, bound);
}

std::int64_t fan_in_of(const TransformerConfig& config, const std::string& name) {
  return name.find(".fc2.") != std::string::npos ? config.decoder_ffn_embed_dim
                                                 : config.decoder_embed_dim;
}

void initialise_one(const TransformerConfig& config, const std::string& name,
                    const at::Tensor& tensor) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (has("embed_tokens.embeddings.")) {
    // As in fairseq, the second row of every band is zero.
    if (name.ends_with(".0.weight"))
      normal_embedding(tensor, tensor.size(0) > TransformerLM::kPaddingIdx);
    else
      xavier_uniform(tensor, 1);
  } else if (has("adaptive_softmax.")) {
    if (tensor.numel() > 0) xavier_uniform(tensor, 1);
  } else if (has("layer_norm.") || has("layernorm_embedding.")) {
    tensor.fill_(name.ends_with("weight") ? 1 : 0);
  } else if (has("embed_tokens") || has("embed_positions") || has("output_projection")) {
    normal_embedding(tensor, !has("output_projection"));
  } else if (has("project_")) {
    xavier_uniform(tensor, 1);
  } else if (has("out_proj")) {
    if (name.ends_with("bias"))
      tensor.zero_();
    else
      xavier_uniform(tensor, 1);
  } else if (has("_proj.weight")) {
    xavier_uniform(tensor, 1 / std::sqrt(2.0));
  } else {  // fc1, fc2 and the biases of k_proj, v_proj, q_proj
    uniform_by_fan_in(tensor, fan_in_of(config, name));
  }
}

}  // namespace

void initialise(TransformerLM& model, std::int64_t seed) {
  const at::NoGradGuard no_grad;
  at::manual_seed(static_cast<std::uint64_t>(seed));
  for (const NamedParameter& parameter : model.parameters()) {
    if (!parameter.tensor->defined()) *parameter.tensor = at::empty(parameter.shape, at::kFloat);
    initialise_one(model.config(), parameter.name, *parameter.tensor);
  }
}

}  // namespace btm
