#include "btm/model/transformer_lm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>

#include "btm/model/cached_attention.h"
#include "btm/model/gathered_attention.h"
#include "btm/model/ids_tensor.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// Rows of fairseq's SinusoidalPositionalEmbedding for `positions` [...] int64 -> [..., C], sines
/// before cosines. fp32 as in fairseq; the padding row is zero.
at::Tensor sinusoids(const at::Tensor& positions, std::int64_t width) {
  const std::int64_t half = width / 2;
  const auto options = positions.options().dtype(at::kFloat);
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  const at::Tensor frequencies = at::exp(at::arange(half, options) * -step);
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(-1) * frequencies;
  std::vector<at::Tensor> parts{at::sin(angles), at::cos(angles)};
  if (width % 2 == 1) {
    auto shape = positions.sizes().vec();
    shape.push_back(1);
    parts.push_back(at::zeros(shape, options));
  }
  return at::cat(parts, -1) * positions.ne(TransformerLM::kPaddingIdx).unsqueeze(-1);
}

at::Tensor dropped(const at::Tensor& x, double probability) {
  return probability > 0 ? at::dropout(x, probability, /*train=*/true) : x;
}

/// The new tokens of a step with their places. std::invalid_argument for a step that does not add
/// up, or holds padding.
std::vector<CachedToken> cached_tokens(const NewTokens& step, const KeyValuePool& pool) {
  if (step.rows.size() != step.counts.size())
    throw std::invalid_argument("a step has another number of counts than of rows");
  std::vector<CachedToken> tokens;
  for (std::size_t i = 0; i < step.rows.size(); ++i) {
    const std::int64_t length = pool.length(step.rows[i]), first = length - step.counts[i];
    if (first < 0 || step.counts[i] < 0)
      throw std::invalid_argument("a row of the pool is shorter than the step's new tokens");
    for (std::int64_t place = first; place < length; ++place)
      tokens.push_back({step.rows[i], place});
  }
  if (tokens.size() != step.tokens.size() ||
      std::ranges::find(step.tokens, TransformerLM::kPaddingIdx) != step.tokens.end())
    throw std::invalid_argument("a step holds padding, or another number of tokens than counted");
  return tokens;
}

}  // namespace

TransformerLM::TransformerLM(const TransformerConfig& config, std::int64_t vocab_size)
    : config_(config),
      vocab_size_(vocab_size),
      layers_(static_cast<std::size_t>(config.decoder_layers)) {
  const std::int64_t width = config.decoder_embed_dim;
  const ListParameter add_any = [this](const std::string& name, std::vector<std::int64_t> shape,
                                       at::Tensor& tensor) { add(name, std::move(shape), tensor); };
  if (config.adaptive_input) {
    adaptive_input_ = AdaptiveInput(config, vocab_size);
    adaptive_input_.list(add_any);
  } else {
    add("decoder.embed_tokens.weight", {vocab_size, config.decoder_input_dim},
        embed_tokens_.weight);
  }
  if (config.decoder_input_dim != width && !config.adaptive_input)
    add("decoder.project_in_dim.weight", {width, config.decoder_input_dim}, project_in_dim_.weight);
  if (config.decoder_learned_pos && !config.no_token_positional_embeddings)
    add("decoder.embed_positions.weight", {config.max_target_positions + kPaddingIdx + 1, width},
        embed_positions_);
  if (config.layernorm_embedding) add_norm("decoder.layernorm_embedding", layernorm_embedding_);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const std::string prefix = compat::concat("decoder.layers.", i, '.');
    Layer& layer = layers_[i];
    add_linear(prefix + "self_attn.k_proj", width, width, layer.k_proj);
    add_linear(prefix + "self_attn.v_proj", width, width, layer.v_proj);
    add_linear(prefix + "self_attn.q_proj", width, width, layer.q_proj);
    add_linear(prefix + "self_attn.out_proj", width, width, layer.out_proj);
    add_norm(prefix + "self_attn_layer_norm", layer.self_attn_layer_norm);
    add_feed_forward(prefix, config.is_mixture(static_cast<std::int64_t>(i)), layer.feed_forward);
    add_norm(prefix + "final_layer_norm", layer.final_layer_norm);
  }
  if (config.decoder_normalize_before && !config.no_decoder_final_norm)
    add_norm("decoder.layer_norm", layer_norm_);
  if (config.decoder_output_dim != width)
    add("decoder.project_out_dim.weight", {config.decoder_output_dim, width},
        project_out_dim_.weight);
  if (config.has_adaptive_softmax()) {
    softmax_ = AdaptiveSoftmax(config, vocab_size);
    softmax_.list(add_any);
  } else if (!config.share_decoder_input_output_embed) {
    add("decoder.output_projection.weight", {vocab_size, config.decoder_output_dim},
        output_projection_.weight);
  }
}

void TransformerLM::add(const std::string& name, std::vector<std::int64_t> shape,
                        at::Tensor& tensor) {
  parameters_.push_back({name, std::move(shape), &tensor});
}

void TransformerLM::add_linear(const std::string& name, std::int64_t out, std::int64_t in,
                               Linear& linear) {
  add(name + ".weight", {out, in}, linear.weight);
  add(name + ".bias", {out}, linear.bias);
}

void TransformerLM::add_norm(const std::string& name, Norm& norm) {
  add(name + ".weight", {config_.decoder_embed_dim}, norm.weight);
  add(name + ".bias", {config_.decoder_embed_dim}, norm.bias);
}

void TransformerLM::add_feed_forward(const std::string& prefix, bool mixture, FeedForward& block) {
  const std::int64_t width = config_.decoder_embed_dim, ffn = config_.decoder_ffn_embed_dim;
  const auto add_block = [&](const std::string& name, DenseFeedForward& dense) {
    add_linear(name + "fc1", ffn, width, dense.fc1);
    add_linear(name + "fc2", width, ffn, dense.fc2);
  };
  if (!mixture) return add_block(prefix, block.emplace<DenseFeedForward>());
  auto& experts = block.emplace<MixtureFeedForward>();
  experts.routing = config_.routing;
  experts.experts.resize(static_cast<std::size_t>(config_.moe_expert_count));
  add(prefix + "moe_layer.gate.wg.weight", {config_.moe_expert_count, width}, experts.gate);
  for (std::size_t e = 0; e < experts.experts.size(); ++e)
    add_block(compat::concat(prefix, "moe_layer.experts.", e, '.'), experts.experts[e]);
}

std::int64_t TransformerLM::num_parameters() const {
  std::int64_t count = 0;
  for (const NamedParameter& parameter : parameters_) {
    std::int64_t numel = 1;
    for (const std::int64_t size : parameter.shape) numel *= size;
    count += numel;
  }
  return count;
}

void TransformerLM::convert_to_fp32() {
  for (const NamedParameter& parameter : parameters_)
    if (parameter.tensor->defined() && parameter.tensor->is_cpu())
      *parameter.tensor = parameter.tensor->to(at::kFloat);
}

std::vector<Linear*> TransformerLM::linears() {
  std::vector<Linear*> all;
  for (Layer& layer : layers_) {
    all.insert(all.end(), {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.out_proj});
    if (auto* const dense = std::get_if<DenseFeedForward>(&layer.feed_forward))
      all.insert(all.end(), {&dense->fc1, &dense->fc2});
    if (auto* const mixture = std::get_if<MixtureFeedForward>(&layer.feed_forward))
      for (DenseFeedForward& expert : mixture->experts)
        all.insert(all.end(), {&expert.fc1, &expert.fc2});
  }
  all.insert(all.end(),
             {&project_in_dim_, &project_out_dim_,
              config_.share_decoder_input_output_embed ? &embed_tokens_ : &output_projection_});
  std::erase_if(all, [](const Linear* linear) { return !linear->weight.defined(); });
  return all;
}

void TransformerLM::pack(Products products) {
  for (Linear* const linear : linears()) {
    linear->packed = std::make_shared<const PackedMatrix>(linear->weight, products);
    linear->weight.reset();
  }
}

void TransformerLM::set_products(Products products) {
  for (Linear* const linear : linears()) linear->products = products;
}

void TransformerLM::drop_final_norm() {
  std::erase_if(parameters_,
                [](const NamedParameter& p) { return p.name.starts_with("decoder.layer_norm."); });
  config_.no_decoder_final_norm = true;
}

const Linear& TransformerLM::output() const noexcept {
  return config_.share_decoder_input_output_embed ? embed_tokens_ : output_projection_;
}

const at::Tensor& TransformerLM::output_weight() const noexcept { return output().weight; }

at::Tensor TransformerLM::normalized(const Norm& norm, const at::Tensor& x) const {
  return at::layer_norm(x, {config_.decoder_embed_dim}, norm.weight, norm.bias,
                        config_.layer_norm_epsilon);
}

at::Tensor TransformerLM::position_vectors(const at::Tensor& places) const {
  const at::Tensor numbers = places + (kPaddingIdx + 1);
  return config_.decoder_learned_pos ? embedding_rows(embed_positions_, numbers)
                                     : sinusoids(numbers, config_.decoder_embed_dim);
}

at::Tensor TransformerLM::positions(const at::Tensor& tokens, bool interior_padding) const {
  const std::int64_t length = tokens.size(1);
  // Positions count from padding_idx + 1 and skip padding (make_positions). Padding at the end of a
  // row does not influence other tokens, so its position does not matter.
  if (!interior_padding)
    return config_.decoder_learned_pos ? embed_positions_.narrow(0, kPaddingIdx + 1, length)
                                       : position_vectors(at::arange(length, tokens.options()));
  const at::Tensor kept = tokens.ne(kPaddingIdx).to(at::kLong);
  const at::Tensor numbers = at::cumsum(kept, 1) * kept + kPaddingIdx;
  return config_.decoder_learned_pos ? embedding_rows(embed_positions_, numbers, kPaddingIdx)
                                     : sinusoids(numbers, config_.decoder_embed_dim);
}

at::Tensor TransformerLM::embedded_at(const at::Tensor& tokens, const at::Tensor& positions,
                                      std::int64_t padding_idx) const {
  at::Tensor x = config_.adaptive_input ? adaptive_input_.rows(tokens, padding_idx)
                 : embed_tokens_.packed != nullptr
                     ? embed_tokens_.packed->rows(tokens)
                     : embedding_rows(embed_tokens_.weight, tokens, padding_idx);
  if (x.is_cpu()) x = x.to(at::kFloat);  // [..., decoder_input_dim]
  if (!config_.no_scale_embedding)
    x = x * std::sqrt(static_cast<double>(config_.decoder_embed_dim));
  if (project_in_dim_.weight.defined() || project_in_dim_.packed != nullptr)
    x = product(x, project_in_dim_);
  if (positions.defined()) x = x + positions.to(x.scalar_type());
  if (config_.layernorm_embedding) x = normalized(layernorm_embedding_, x);
  return x;
}

at::Tensor TransformerLM::embedded_tokens(const at::Tensor& tokens, bool interior_padding) const {
  return embedded_at(
      tokens,
      config_.no_token_positional_embeddings ? at::Tensor() : positions(tokens, interior_padding),
      interior_padding ? kPaddingIdx : -1);
}

at::Tensor TransformerLM::embedded(const at::Tensor& tokens, const Dropout& dropout,
                                   bool interior_padding) const {
  check_length(tokens.size(1));
  return dropped(embedded_tokens(tokens, interior_padding), dropout.residual);
}

TransformerLM::Attention TransformerLM::causal_attention(const at::Tensor& mask,
                                                         double dropout) const {
  return [&mask, dropout, heads = config_.decoder_attention_heads](
             const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    const std::int64_t batch = q.size(0), length = q.size(1);
    const auto by_head = [&](const at::Tensor& part) {  // [B, heads, T, C / heads]
      return part.view({batch, length, heads, -1}).transpose(1, 2);
    };
    const std::optional<at::Tensor> bias =
        mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
    return at::scaled_dot_product_attention(by_head(q), by_head(k), by_head(v), bias, dropout,
                                            /*is_causal=*/!mask.defined())
        .transpose(1, 2)
        .reshape({batch, length, -1});
  };
}

at::Tensor TransformerLM::attended(const Layer& layer, const at::Tensor& x, bool normed,
                                   const Attention& attention) const {
  const std::vector<at::Tensor> parts =
      recomputed_linears(x,
                         [this, &layer, normed](const at::Tensor& in) {
                           return normed ? normalized(layer.self_attn_layer_norm, in) : in;
                         },
                         {&layer.q_proj, &layer.k_proj, &layer.v_proj});
  return product(attention(parts[0], parts[1], parts[2]), layer.out_proj);
}

at::Tensor TransformerLM::layer(std::size_t i, const at::Tensor& x, const at::Tensor& mask,
                                const Dropout& dropout, RoutingRecord* record) const {
  return layer_forward(layers_[i], x, causal_attention(mask, dropout.attention), dropout, record);
}

at::Tensor TransformerLM::layer_forward(const Layer& layer, at::Tensor x,
                                        const Attention& attention, const Dropout& dropout,
                                        RoutingRecord* record) const {
  const bool before = config_.decoder_normalize_before;
  x = x + dropped(attended(layer, x, before, attention), dropout.residual);
  if (!before) x = normalized(layer.self_attn_layer_norm, x);
  const auto norm = [this, &layer, before](const at::Tensor& in) {
    return before ? normalized(layer.final_layer_norm, in) : in;
  };
  x = x + dropped(feed_forward(layer.feed_forward, x, norm,
                               {config_.activation_fn, dropout.activation, record, gating_.get()}),
                  dropout.residual);
  return before ? x : normalized(layer.final_layer_norm, x);
}

at::Tensor TransformerLM::finished(at::Tensor x) const {
  if (layer_norm_.weight.defined()) x = normalized(layer_norm_, x);
  if (config_.decoder_output_dim != config_.decoder_embed_dim) x = product(x, project_out_dim_);
  return x;
}

void TransformerLM::check_length(std::int64_t length) const {
  if (length > config_.max_target_positions)
    throw compat::UnsupportedError(compat::concat("a sample of ", length, " tokens, the model has ",
                                                  config_.max_target_positions, " positions"));
}

at::Tensor TransformerLM::attention_mask(const at::Tensor& tokens, bool interior_padding) {
  if (!interior_padding) return {};
  const std::int64_t length = tokens.size(1);
  const at::Tensor causal = at::ones({length, length}, tokens.options().dtype(at::kBool)).tril();
  return causal.logical_and(tokens.ne(kPaddingIdx).unsqueeze(1).unsqueeze(1));
}

at::Tensor TransformerLM::features(const at::Tensor& tokens, bool interior_padding) const {
  check_length(tokens.size(1));
  const at::Tensor mask = attention_mask(tokens, interior_padding);
  at::Tensor x = embedded_tokens(tokens, interior_padding);
  for (std::size_t i = 0; i < layers_.size(); ++i) x = layer(i, x, mask, {});
  return finished(std::move(x));
}

at::Tensor TransformerLM::advance(const NewTokens& step, KeyValuePool& pool) const {
  const at::NoGradGuard no_grad;
  const std::vector<CachedToken> tokens = cached_tokens(step, pool);
  std::vector<std::int64_t> places;
  for (const CachedToken& token : tokens) {
    check_length(token.place + 1);
    places.push_back(token.place);
  }
  auto* const blocks = dynamic_cast<TensorBlocks*>(pool.elsewhere());
  const at::Device device = blocks != nullptr ? blocks->options().device() : at::kCPU;
  std::optional<GatheredAttention> gathered;
  if (blocks != nullptr) gathered.emplace(pool, *blocks, tokens);
  at::Tensor x = embedded_at(ids_tensor(step.tokens).to(device),
                             config_.no_token_positional_embeddings
                                 ? at::Tensor()
                                 : position_vectors(ids_tensor(places).to(device)),
                             -1);  // [N, C]
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto attention = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      const auto layer = static_cast<std::int64_t>(i);
      if (gathered) return (*gathered)(layer, q, k, v);
      store_keys_and_values(pool, layer, tokens, k.const_data_ptr<float>(),
                            v.const_data_ptr<float>());
      at::Tensor out = at::empty_like(q);
      attend(pool, layer, tokens, q.const_data_ptr<float>(), out.mutable_data_ptr<float>());
      return out;
    };
    x = layer_forward(layers_[i], std::move(x), attention, {}, nullptr);
  }
  return finished(std::move(x));
}

KeyValuePool::Shape TransformerLM::pool_shape(std::int64_t tokens) const {
  return {config_.decoder_layers, config_.decoder_attention_heads,
          config_.decoder_embed_dim / config_.decoder_attention_heads, tokens};
}

KeyValuePool TransformerLM::key_value_pool(std::int64_t tokens) const {
  const KeyValuePool::Shape shape = pool_shape(tokens);
  const at::Tensor& parameter = layers_.front().self_attn_layer_norm.weight;
  if (parameter.is_cpu()) return KeyValuePool(shape);
  return KeyValuePool(shape, std::make_unique<TensorBlocks>(shape, parameter.options()));
}

}  // namespace btm
