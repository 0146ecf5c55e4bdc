// The loss of a language model and its gradient, a slice of the logits at a time. N tokens, C
// features, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/model/recomputed_linear.h"

namespace btm {

/// The sum of -log softmax(features weight^T)[target] (natural log). features [N, C], targets [N]
/// int64; `output` has a weight [V, C] and no bias.
double cross_entropy(const at::Tensor& features, const Linear& output, const at::Tensor& targets);

struct CrossEntropyGradient {
  at::Tensor loss;      ///< One element, fp64: the value of cross_entropy(), not scaled. A GPU may
                        ///< still be computing it.
  at::Tensor features;  ///< [N, C] gradient of scale * loss.
};

/// The same with the gradients of `scale` times the loss; that of the weight is added to
/// `weight_gradient` [V, C]. Logits and their gradient exist for tokens_of_logits() tokens at once.
/// Log-probabilities and sums are fp32 or better. With Products::kBf16 the three products round
/// their factors, the gradient of the logits among them.
CrossEntropyGradient cross_entropy_backward(const at::Tensor& features, const Linear& output,
                                            const at::Tensor& targets, double scale,
                                            const at::Tensor& weight_gradient);

}  // namespace btm
