#include "btm/trainer/cross_entropy.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "btm/model/bf16_product.h"
#include "btm/model/head.h"
#include "btm/model/row_softmax.h"

namespace btm {
namespace {

/// The two parts of a smoothed loss: the weights of -log p(target) and of every word's -log p.
struct SmoothedWeights {
  double target = 1, word = 0;
  SmoothedWeights(double smoothing, std::int64_t vocabulary)
      : target(1 - smoothing), word(smoothing / static_cast<double>(vocabulary - 1)) {
    target -= word;
  }
};

/// Replaces logits [n, V] on the CPU by `scale` times the gradient of the loss: p, less
/// `weights.word`, less `weights.target` at the target.
LossSums to_gradient(at::Tensor& logits, const at::Tensor& targets, double scale,
                     const SmoothedWeights& weights) {
  const std::int64_t rows = logits.size(0), vocabulary = logits.size(1);
  float* const all = logits.mutable_data_ptr<float>();
  const std::int64_t* const target = targets.const_data_ptr<std::int64_t>();
  std::vector<LossSums> losses(static_cast<std::size_t>(rows));
  const auto less = static_cast<float>(scale * weights.word);
  at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* const x = all + row * vocabulary;
      LogSumExp sum;
      sum.add(x, vocabulary);
      LossSums& loss = losses[static_cast<std::size_t>(row)];
      loss.nll = loss.loss = sum.value() - x[target[row]];
      if (weights.word > 0) {
        double words = 0;
        for (std::int64_t v = 0; v < vocabulary; ++v) words += x[v];
        loss.loss = weights.target * loss.nll +
                    weights.word * (static_cast<double>(vocabulary) * sum.value() - words);
      }
      exp_of_difference(x, vocabulary, static_cast<float>(sum.value()), static_cast<float>(scale));
      if (weights.word > 0)
        for (std::int64_t v = 0; v < vocabulary; ++v) x[v] -= less;
      x[target[row]] -= static_cast<float>(scale * weights.target);
    }
  });
  LossSums total;
  for (const LossSums& one : losses) {  // in order, so that the sum does not depend on the threads
    total.loss += one.loss;
    total.nll += one.nll;
  }
  return total;
}

/// The same for any device and dtype; the gradient has the dtype of the logits. Adds to `loss` and
/// `nll`, of one element in fp64.
void to_gradient_anywhere(at::Tensor& logits, const at::Tensor& targets, double scale,
                          const SmoothedWeights& weights, CrossEntropyGradient& result) {
  const at::Tensor target = targets.unsqueeze(1);
  at::Tensor probabilities = at::log_softmax(logits, -1, at::kFloat);
  const at::Tensor chosen = probabilities.gather(1, target);
  const at::Tensor nll = -chosen.sum(at::kDouble);
  result.nll += nll;
  result.loss += nll * weights.target;
  if (weights.word > 0) result.loss -= probabilities.sum(at::kDouble) * weights.word;
  // Rounded to the logits' dtype while they are written: passes over memory dominate the cost.
  if (scale == 1 && weights.word == 0)
    at::exp_out(logits, probabilities);
  else
    at::mul_out(logits, probabilities.exp_().sub_(weights.word),
                at::scalar_tensor(scale, at::kDouble));
  logits.scatter_(
      1, target, ((chosen.exp() - weights.word - weights.target) * scale).to(logits.scalar_type()));
}

/// Words whose gradients are rounded to bf16 and multiplied at once: they stay in the cache.
constexpr std::int64_t kWords = 4096;

/// The products of one slice of n tokens.
struct Slice {
  const Linear& output;
  at::Tensor features;         ///< [n, C]
  at::Tensor gradient;         ///< [n, C]: that of the features, to be written
  at::Tensor weight_gradient;  ///< [V, C]: to be added to

  bool in_bf16() const { return output.products == Products::kBf16; }
  void write_logits(at::Tensor& logits) const {
    if (in_bf16())
      multiply_bf16(bf16_rows(features), output.weight.t(), {}, logits);
    else
      at::mm_out(logits, features, output.weight.t());
  }
  /// `logits` [n, V] holds the gradient of the logits.
  void write_gradients(const at::Tensor& logits) {
    if (!in_bf16()) {
      at::mm_out(gradient, logits, output.weight);
      weight_gradient.addmm_(logits.t(), features);
      return;
    }
    const std::int64_t vocabulary = logits.size(1);
    gradient.zero_();
    for (std::int64_t first = 0; first < vocabulary; first += kWords) {
      const std::int64_t count = std::min(kWords, vocabulary - first);
      const at::Tensor words = logits.narrow(1, first, count);
      add_multiply_bf16(bf16_rows(words), output.weight.narrow(0, first, count), gradient);
      add_multiply_bf16(bf16_transposed(words), features, weight_gradient.narrow(0, first, count));
    }
  }
};

}  // namespace

double cross_entropy(const at::Tensor& features, const Linear& output, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  return -Head(output).target_log_probs(features, targets, kAll).sum(at::kDouble).item<double>();
}

LossSums smoothed_cross_entropy(const at::Tensor& features, const Linear& output,
                                const at::Tensor& targets, double smoothing) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0), vocabulary = output.weight.size(0);
  const std::int64_t slice = tokens_of_logits(vocabulary, features.device());
  const SmoothedWeights weights(smoothing, vocabulary);
  LossSums sums;
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    const at::Tensor log_probs =
        at::log_softmax(product(features.narrow(0, from, rows), output), -1, at::kFloat);
    const at::Tensor target = targets.narrow(0, from, rows).unsqueeze(1);
    const double nll = -log_probs.gather(1, target).sum(at::kDouble).item<double>();
    sums.nll += nll;
    sums.loss += weights.target * nll - weights.word * log_probs.sum(at::kDouble).item<double>();
  }
  return sums;
}

CrossEntropyGradient cross_entropy_backward(const at::Tensor& features, const Linear& output,
                                            const at::Tensor& targets, double scale,
                                            const at::Tensor& weight_gradient, double smoothing) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0), vocabulary = output.weight.size(0);
  // Half as many tokens as elsewhere: all activations are in memory, too.
  const std::int64_t slice =
      std::max<std::int64_t>(1, tokens_of_logits(vocabulary, features.device()) / 2);
  const bool on_cpu = features.is_cpu() && features.scalar_type() == at::kFloat;
  const at::Tensor ids = targets.contiguous();
  at::Tensor buffer;
  CrossEntropyGradient result;
  result.features = at::empty_like(features);
  result.loss = at::zeros({}, features.options().dtype(at::kDouble));
  result.nll = at::zeros_like(result.loss);
  const SmoothedWeights weights(smoothing, vocabulary);
  if (on_cpu) buffer = at::empty({std::min(slice, count), vocabulary}, features.options());
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    Slice part{output, features.narrow(0, from, rows), result.features.narrow(0, from, rows),
               weight_gradient};
    const at::Tensor target = ids.narrow(0, from, rows);
    at::Tensor logits;
    if (on_cpu) {
      logits = buffer.narrow(0, 0, rows);
      part.write_logits(logits);
      const LossSums sums = to_gradient(logits, target, scale, weights);
      result.loss += sums.loss;
      result.nll += sums.nll;
    } else {
      logits = at::linear(part.features, output.weight);
      to_gradient_anywhere(logits, target, scale, weights, result);
    }
    part.write_gradients(logits);
  }
  return result;
}

}  // namespace btm
