// One micro-batch through the model and back. B rows, T columns, C decoder_embed_dim.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/data/batches.h"
#include "btm/model/transformer_lm.h"
#include "btm/trainer/cross_entropy.h"
#include "btm/trainer/flat_parameters.h"
#include "btm/trainer/router_stats.h"

namespace btm {

struct TrainingSwitches {
  Dropout dropout;
  double decoder_layerdrop = 0;  ///< A layer is left out with this probability.
  double adaptive_softmax_dropout = 0;
  double label_smoothing = 0;
  bool checkpoint_activations =
      false;  ///< Keep only the layers' inputs and compute the rest again in the backward pass.
  /// Weights of the routers' losses, the means over the mixture's layers of RoutingRecord::balance
  /// and z. Each counts once per token, as the loss does.
  double balance_loss = 0, z_loss = 0;
};

/// A batch on the model's device.
struct DeviceBatch {
  at::Tensor tokens;  ///< [B, T] int64
  at::Tensor
      places;  ///< [N] int64 in [0, B * T): the columns that are scored; undefined when all are.
  at::Tensor targets;  ///< [N] int64
  bool interior_padding = false;
  std::vector<std::int64_t> ids;
  std::int64_t num_tokens = 0;  ///< As Batch::num_tokens.
  std::int64_t num_sentences = 0;
  std::int64_t domain = 0;
};

/// Thread safe. Copies `batch`.
DeviceBatch to_device(const Batch& batch, at::Device device);

class ForwardBackward {
 public:
  /// The parameters of `model` lie in `flat`. Both must outlive this.
  ForwardBackward(const TransformerLM& model, const FlatParameters& flat,
                  const TrainingSwitches& switches);

  /// Adds the gradient of `loss_scale` times the batch's summed loss to the flat gradients. Returns
  /// the sums of the loss (not scaled). The routers' losses add their gradients, too, and
  /// `routers` gets what they did. With `last`, gradients are announced when they are
  /// complete. Each layer is an autograd graph of its own, so that gradients can be reduced while
  /// earlier layers still compute.
  LossSums run(const DeviceBatch& batch, double loss_scale, bool last,
               RouterStats* routers = nullptr) const;

  /// The loss alone, without dropout.
  LossSums evaluate(const DeviceBatch& batch) const;

 private:
  struct Stage;
  at::Tensor layer_of(Stage& stage, const at::Tensor& mask, const DeviceBatch& batch) const;
  void backward(Stage& stage, const at::Tensor& gradient, double loss_scale,
                RouterStats* routers) const;
  CrossEntropyGradient backward_from_loss(const DeviceBatch& batch, const at::Tensor& features,
                                          double loss_scale) const;

  const TransformerLM& model_;
  const FlatParameters& flat_;
  TrainingSwitches switches_;
  std::size_t output_slot_ = 0;  ///< The output projection's, or the embedding's it is tied to.
  std::vector<std::size_t> layer_slots_;  ///< [layers + 1] the first slot of each layer, and the
                                          ///< end of the last layer's.
  std::int64_t mixtures_ = 0;             ///< layers with a router
};

}  // namespace btm
