// The loss of a language model and its gradient, a slice of the logits at a time. N tokens, C
// features, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/model/recomputed_linear.h"

namespace btm {

/// Sums over tokens, in natural logs: what is minimised, and -log p of the targets.
struct LossSums {
  double loss = 0, nll = 0;
};

/// The sum of -log softmax(features weight^T)[target] (natural log). features [N, C], targets [N]
/// int64; `output` has a weight [V, C] and no bias.
double cross_entropy(const at::Tensor& features, const Linear& output, const at::Tensor& targets);

/// fairseq's label_smoothed_cross_entropy: with e = `smoothing` and e' = e / (V - 1), the sum of
/// (1 - e - e') times -log p(target), and e' times the sum of -log p over the vocabulary.
LossSums smoothed_cross_entropy(const at::Tensor& features, const Linear& output,
                                const at::Tensor& targets, double smoothing);

struct CrossEntropyGradient {
  at::Tensor loss;      ///< One element, fp64: what is minimised, not scaled. A GPU may still be
                        ///< computing it.
  at::Tensor nll;       ///< The same for -log p of the targets.
  at::Tensor features;  ///< [N, C] gradient of scale * loss.
};

/// The same with the gradients of `scale` times the loss; that of the weight is added to
/// `weight_gradient` [V, C]. Logits and their gradient exist for tokens_of_logits() tokens at once.
/// Log-probabilities and sums are fp32 or better. With Products::kBf16 the three products round
/// their factors, the gradient of the logits among them.
CrossEntropyGradient cross_entropy_backward(const at::Tensor& features, const Linear& output,
                                            const at::Tensor& targets, double scale,
                                            const at::Tensor& weight_gradient,
                                            double smoothing = 0);

}  // namespace btm
