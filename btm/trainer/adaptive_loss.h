// fairseq's criterion adaptive_loss: the loss of an adaptive softmax. N tokens, C features.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/model/adaptive_softmax.h"
#include "btm/trainer/cross_entropy.h"

namespace btm {

/// The sum of -log p(target) (natural log), features [N, C], targets [N] int64. As in fairseq, the
/// second word of each further band counts only with its band's class: its place there has the
/// number of `<pad>`, whose loss is left out.
double adaptive_loss(const at::Tensor& features, const AdaptiveSoftmax& softmax,
                     const at::Tensor& targets);

/// The same with the gradients of `scale` times the loss. Those of the softmax's parameters are
/// added to their .grad(). `dropout` is --adaptive-softmax-dropout. Products and sums are in the
/// dtype of the features, log-probabilities in fp32.
CrossEntropyGradient adaptive_loss_backward(const at::Tensor& features,
                                            const AdaptiveSoftmax& softmax,
                                            const at::Tensor& targets, double scale,
                                            double dropout);

}  // namespace btm
