// fairseq's transformer_lm (TransformerDecoder without encoder) in ATen operations, which autograd
// follows where parameters require grad. B batch, T tokens, C decoder_embed_dim, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "btm/model/adaptive_input.h"
#include "btm/model/adaptive_softmax.h"
#include "btm/model/config.h"
#include "btm/model/feed_forward.h"
#include "btm/model/head.h"
#include "btm/model/key_value_pool.h"
#include "btm/model/recomputed_linear.h"

namespace btm {

/// A parameter under the name it has in fairseq's state dict.
struct NamedParameter {
  std::string name;
  std::vector<std::int64_t> shape;
  at::Tensor* tensor;
};

/// Probabilities of dropout in training, as fairseq's flags name them; none by default.
struct Dropout {
  double residual = 0;    ///< --dropout: on embeddings and on what each sub-layer adds
  double attention = 0;   ///< --attention-dropout: on attention weights
  double activation = 0;  ///< --activation-dropout: after the activation function
};

/// New tokens of some rows of a pool, which have been extended by as many.
struct NewTokens {
  std::vector<KeyValuePool::Row> rows;  ///< Each once.
  std::vector<std::int64_t> counts;     ///< New tokens of each row.
  std::vector<std::int64_t> tokens;     ///< All of them, row after row; none is padding.
};

class TransformerLM {
 public:
  static constexpr std::int64_t kPaddingIdx = 1;

  /// Allocates no memory: parameters are undefined until they are assigned (see weights.h).
  TransformerLM(const TransformerConfig& config, std::int64_t vocab_size);
  TransformerLM(const TransformerLM&) = delete;
  TransformerLM& operator=(const TransformerLM&) = delete;

  /// Every parameter, in fairseq's order; a tied output projection is not listed.
  const std::vector<NamedParameter>& parameters() const noexcept { return parameters_; }
  std::int64_t num_parameters() const;
  const TransformerConfig& config() const noexcept { return config_; }
  std::int64_t vocab_size() const noexcept { return vocab_size_; }
  /// Converts matrices that Precision::as_stored left in half precision to fp32, in which a CPU
  /// computes. This costs as much as using them once.
  void convert_to_fp32();
  /// For evaluation on a CPU: packs every matrix of a product and frees its parameter, which is
  /// undefined afterwards. `products` is not kFp32.
  void pack(Products products);
  /// For training on a CPU that has_fast_bf16(): how all matrices multiply from now on (see
  /// Linear::products), that of the output projection included.
  void set_products(Products products);
  /// fairseq drops the norm after the last layer for checkpoints of `version` 2 and below.
  void drop_final_norm();
  /// Of every layer norm; fairseq has no flag for it.
  void set_layer_norm_epsilon(double epsilon) noexcept { config_.layer_norm_epsilon = epsilon; }
  /// Makes features() choose experts as fairseq's evaluation does, for the mixtures of this model.
  /// Features of a token then depend on the batch, padding included.
  void set_gating(std::shared_ptr<FairseqGating> gating) { gating_ = std::move(gating); }
  bool gates_by_batch() const noexcept { return gating_ != nullptr; }
  /// The names of a mixture's experts, which have no flag either.
  void set_expert_names(std::vector<std::string> names) { config_.moe_experts = std::move(names); }

  /// tokens [B, T] int64 on the parameters' device -> [B, T, decoder_output_dim]. Padding may only
  /// end a row unless `interior_padding`. UnsupportedError for T beyond max_target_positions.
  at::Tensor features(const at::Tensor& tokens, bool interior_padding = false) const;
  // The same in parts, for training: embedded(), then layer 0, 1, ... with attention_mask(), then
  // finished().
  at::Tensor embedded(const at::Tensor& tokens, const Dropout& dropout,
                      bool interior_padding) const;  ///< [B, T] -> [B, T, C]
  /// [B, 1, T, T] bool: the keys that a query attends to. Undefined without `interior_padding`:
  /// attention is then plainly causal. As in fairseq, a query without keys gets zero.
  static at::Tensor attention_mask(const at::Tensor& tokens, bool interior_padding);
  /// [B, T, C] -> [B, T, C]. A mixture fills in `record`, if given.
  at::Tensor layer(std::size_t i, const at::Tensor& x, const at::Tensor& mask,
                   const Dropout& dropout, RoutingRecord* record = nullptr) const;
  /// Whether the feed-forward half of layer i is a mixture of experts.
  bool is_mixture(std::size_t i) const noexcept {
    return std::holds_alternative<MixtureFeedForward>(layers_[i].feed_forward);
  }
  std::size_t num_layers() const noexcept { return layers_.size(); }
  at::Tensor finished(at::Tensor x) const;  ///< [B, T, C] -> [B, T, decoder_output_dim]
  /// weight [V, decoder_output_dim]: logits are features times its transpose. No bias. Undefined
  /// in a model with adaptive softmax.
  const Linear& output() const noexcept;
  const at::Tensor& output_weight() const noexcept;
  /// Of a model with adaptive softmax, with the tensors that it shares with the input.
  AdaptiveSoftmax adaptive_softmax() const { return softmax_.tied_to(adaptive_input_); }
  /// Further names of parameters in the state dict: {name, the parameter's name}.
  std::vector<std::pair<std::string, std::string>> tied_names() const {
    return btm::tied_names(config_, adaptive_input_.bands().size());
  }
  /// How the layers multiply.
  Products products() const noexcept { return layers_.front().q_proj.products; }

  /// Features of new tokens alone, [N, decoder_output_dim] in the step's order, of the parameters'
  /// device and dtype (fp32 on a CPU). Keys and values of earlier ones are in `pool`, which gets
  /// those of the new ones. It is one of key_value_pool(), or has its shape. UnsupportedError as
  /// features(); std::invalid_argument for a step that does not fit the pool.
  at::Tensor advance(const NewTokens& step, KeyValuePool& pool) const;
  KeyValuePool::Shape pool_shape(std::int64_t tokens) const;
  /// With its blocks on the parameters' device, which must be assigned.
  KeyValuePool key_value_pool(std::int64_t tokens) const;
  /// The output projection, to which features [N, decoder_output_dim] go.
  Head head() const {
    return config_.has_adaptive_softmax() ? Head(adaptive_softmax()) : Head(output());
  }

 private:
  struct Norm {
    at::Tensor weight, bias;
  };
  struct Layer {
    Linear k_proj, v_proj, q_proj, out_proj;
    FeedForward feed_forward;
    Norm self_attn_layer_norm, final_layer_norm;
  };

  void add(const std::string& name, std::vector<std::int64_t> shape, at::Tensor& tensor);
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, Linear& linear);
  void add_norm(const std::string& name, Norm& norm);
  void add_feed_forward(const std::string& prefix, bool mixture, FeedForward& block);
  at::Tensor normalized(const Norm& norm, const at::Tensor& x) const;
  void check_length(std::int64_t length) const;
  at::Tensor embedded_tokens(const at::Tensor& tokens, bool interior_padding) const;
  /// Embeddings of the places 0, 1, ... [...] int64 of a row without padding -> [..., C].
  at::Tensor position_vectors(const at::Tensor& places) const;
  at::Tensor positions(const at::Tensor& tokens, bool interior_padding) const;
  /// tokens [...] and what is added for their positions (or undefined) -> [..., C].
  at::Tensor embedded_at(const at::Tensor& tokens, const at::Tensor& positions,
                         std::int64_t padding_idx) const;
  /// Queries, keys and values [..., C] of a layer -> what its heads make of them, [..., C].
  using Attention =
      std::function<at::Tensor(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)>;
  Attention causal_attention(const at::Tensor& mask, double dropout) const;
  /// Self-attention over x, after its layer norm if `normed`.
  at::Tensor attended(const Layer& layer, const at::Tensor& x, bool normed,
                      const Attention& attention) const;
  at::Tensor layer_forward(const Layer& layer, at::Tensor x, const Attention& attention,
                           const Dropout& dropout, RoutingRecord* record) const;

  /// Every matrix that multiplies.
  std::vector<Linear*> linears();

  TransformerConfig config_;
  std::int64_t vocab_size_;
  std::vector<NamedParameter> parameters_;
  at::Tensor embed_positions_;
  Linear embed_tokens_, project_in_dim_, project_out_dim_, output_projection_;  ///< no biases
  AdaptiveInput adaptive_input_;  ///< in place of embed_tokens_
  AdaptiveSoftmax softmax_;       ///< in place of output_projection_
  Norm layernorm_embedding_, layer_norm_;
  std::vector<Layer> layers_;
  std::shared_ptr<FairseqGating> gating_;
};

}  // namespace btm
