#include "btm/trainer/cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>

#include <algorithm>

namespace btm {
namespace {

constexpr std::int64_t kLogitBytes = std::int64_t{64} << 20;

std::int64_t rows_at_once(const at::Tensor& weight) { return std::max<std::int64_t>(1, kLogitBytes / (4 * weight.size(0))); }

/// [n, V] fp32.
at::Tensor log_probs(const at::Tensor& rows, const at::Tensor& weight) {
  return at::log_softmax(at::linear(rows, weight), -1, at::kFloat);
}

double negative_sum(const at::Tensor& log_probabilities, const at::Tensor& targets) {
  return -log_probabilities.gather(1, targets).sum(at::kDouble).item<double>();
}

}  // namespace

double cross_entropy(const at::Tensor& features, const at::Tensor& weight, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0), slice = rows_at_once(weight);
  double loss = 0;
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    loss += negative_sum(log_probs(features.narrow(0, from, rows), weight), targets.narrow(0, from, rows).unsqueeze(1));
  }
  return loss;
}

CrossEntropyGradient cross_entropy_backward(const at::Tensor& features, const at::Tensor& weight, const at::Tensor& targets,
                                            double scale, const at::Tensor& weight_gradient) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0), slice = rows_at_once(weight);
  CrossEntropyGradient result;
  result.features = at::empty_like(features);
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    const at::Tensor input = features.narrow(0, from, rows);
    const at::Tensor target = targets.narrow(0, from, rows).unsqueeze(1);
    at::Tensor gradient = log_probs(input, weight);
    result.loss += negative_sum(gradient, target);
    gradient.exp_();
    gradient.scatter_add_(1, target, at::empty_like(target, gradient.options()).fill_(-1));
    if (scale != 1) gradient.mul_(scale);
    gradient = gradient.to(input.scalar_type());
    at::Tensor out = result.features.narrow(0, from, rows);
    at::mm_out(out, gradient, weight);
    at::Tensor accumulated = weight_gradient;
    accumulated.addmm_(gradient.t(), input);
  }
  return result;
}

}  // namespace btm
