// The feed-forward half of a layer: one block, or a mixture of blocks with a router. N tokens,
// C decoder_embed_dim, F decoder_ffn_embed_dim, E experts, k experts that a token goes to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "btm/model/recomputed_linear.h"
#include "btm/model/routing.h"

namespace btm {

class FairseqGating;

struct DenseFeedForward {
  Linear fc1, fc2;  ///< [F, C] and [C, F]
};

/// y = sum over the chosen experts e of weight_e(x) fc2_e(f(fc1_e(x))). The router's logits are
/// x gate^T in fp32, in whatever precision the experts compute. Weights: see Routing. Every token
/// reaches its experts; FairseqGating alone drops some.
struct MixtureFeedForward {
  at::Tensor gate;  ///< [E, C]
  std::vector<DenseFeedForward> experts;
  Routing routing = Routing::kTop2;
};

using FeedForward = std::variant<DenseFeedForward, MixtureFeedForward>;

/// What a router did with a batch.
struct RoutingRecord {
  at::Tensor places;  ///< Given: [n] int64, the tokens that count; undefined: all N.
  at::Tensor loads;  ///< [E] fp32: how many tokens went to an expert, k n in all; kSoft: the sum of
                     ///< its weights.
  std::int64_t tokens = 0;    ///< n
  bool keeps_inputs = false;  ///< Given: keep `inputs`.
  at::Tensor inputs;          ///< [n, C] what the router saw.
  // Followed by autograd, one element each:
  /// E sum_e f_e P_e, where f_e is the share of the loads and P_e the mean probability: 1 when
  /// balanced (Fedus et al., arXiv:2101.03961, formula 4, there with k = 1).
  at::Tensor balance;
  at::Tensor
      z;  ///< The mean of (log sum_e exp logit_e)^2 (Zoph et al., arXiv:2202.08906, formula 5).
};

/// x -> what the layer norm before the block makes of it. It is copied into the graph.
using NormBefore = std::function<at::Tensor(const at::Tensor&)>;

struct FeedForwardRun {
  std::string activation = "relu";  ///< fairseq's name
  double activation_dropout = 0;
  RoutingRecord* record = nullptr;  ///< Filled in by a mixture, if given.
  FairseqGating* gating = nullptr;  ///< Given: chooses for mixtures, in place of their Routing.
};

/// x [..., C] -> [..., C]. `layer` must outlive the graph. Without gradients on a CPU a mixture
/// computes a row alike whatever rows are beside it, as far as product() does.
at::Tensor feed_forward(const FeedForward& layer, const at::Tensor& x, const NormBefore& norm,
                        const FeedForwardRun& run);

}  // namespace btm
