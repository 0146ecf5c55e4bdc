// The loss of a language model and its gradient, a slice of the logits at a time. N tokens, C
// features, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

namespace btm {

/// The sum of -log softmax(features weight^T)[target] (natural log). features [N, C], weight [V,
/// C], targets [N] int64.
double cross_entropy(const at::Tensor& features, const at::Tensor& weight,
                     const at::Tensor& targets);

struct CrossEntropyGradient {
  at::Tensor loss;  ///< Of one element, fp64: as cross_entropy(), not scaled. On a GPU it may not
                    ///< be computed yet.
  at::Tensor features;  ///< [N, C] gradient of scale * loss.
};

/// The same with gradients of `scale` times the loss: that of `weight` is added to
/// `weight_gradient` [V, C]. Logits and their gradient are made for tokens_of_logits() tokens at
/// once and never kept; log-probabilities and sums are fp32 or better.
CrossEntropyGradient cross_entropy_backward(const at::Tensor& features, const at::Tensor& weight,
                                            const at::Tensor& targets, double scale,
                                            const at::Tensor& weight_gradient);

}  // namespace btm
