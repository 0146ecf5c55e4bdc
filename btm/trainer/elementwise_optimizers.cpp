#include "btm/trainer/elementwise_optimizers.h"

#include <ATen/ops/add.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/sqrt.h>

#include <cmath>
#include <utility>

namespace btm {

ElementwiseOptimizer::ElementwiseOptimizer(const OptimizerKind& kind,
                                           const OptimizationOptions& options, double lr,
                                           const FlatParameters& flat,
                                           std::vector<std::string_view> keys)
    : Optimizer(kind, options, lr, flat), keys_(std::move(keys)) {
  for (std::size_t i = 0; i < keys_.size(); ++i) buffers_.push_back(new_buffer());
}

std::vector<Optimizer::StateTensor> ElementwiseOptimizer::state_of(std::size_t slot) const {
  std::vector<StateTensor> state;
  for (std::size_t i = 0; i < keys_.size(); ++i)
    state.push_back({keys_[i], part(buffers_[i], slot)});
  return state;
}

void ElementwiseOptimizer::update_part(std::int64_t first, const at::Tensor& values,
                                       const at::Tensor& gradients, double scale) {
  std::vector<at::Tensor> buffers;
  for (const at::Tensor& buffer : buffers_)
    buffers.push_back(buffer.narrow(0, first, values.numel()));
  update_range(values, gradients, buffers, scale);
}

void ElementwiseOptimizer::update(const at::Tensor& values, const at::Tensor& gradients,
                                  double scale) {
  for (const auto& [first, last] : flat_.trained())
    update_part(first, values.narrow(0, first, last - first),
                gradients.narrow(0, first, last - first), scale);
}

Nag::Nag(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
         const FlatParameters& flat)
    : ElementwiseOptimizer(kind, options, lr, flat, {"momentum_buffer"}) {}

void Nag::begin() {
  const double before = number("lr_old");
  change_ = before > 0 ? lr() / before : lr();
  *option("lr_old") = {lr()};
}

void Nag::update_range(const at::Tensor& values, const at::Tensor& gradients,
                       std::span<const at::Tensor> buffers, double scale) {
  const double momentum = number("momentum"), decay = number("weight_decay");
  const at::Tensor& velocity = buffers[0];
  gradients.mul_(scale);
  if (decay != 0) values.mul_(1 - lr() * decay);
  values.add_(velocity, momentum * momentum * change_);
  values.add_(gradients, -(1 + momentum) * lr());
  velocity.mul_(momentum * change_).add_(gradients, -lr());
  gradients.zero_();
}

Sgd::Sgd(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
         const FlatParameters& flat)
    : ElementwiseOptimizer(kind, options, lr, flat, {"momentum_buffer"}) {}

std::vector<Optimizer::StateTensor> Sgd::state_of(std::size_t slot) const {
  if (number("momentum") == 0) return {};
  return ElementwiseOptimizer::state_of(slot);
}

void Sgd::update_range(const at::Tensor& values, const at::Tensor& gradients,
                       std::span<const at::Tensor> buffers, double scale) {
  const double momentum = number("momentum"), decay = number("weight_decay");
  gradients.mul_(scale);
  if (decay != 0) gradients.add_(values, decay);
  if (momentum != 0) buffers[0].mul_(momentum).add_(gradients);
  values.add_(momentum != 0 ? buffers[0] : gradients, -lr());
  gradients.zero_();
}

Adagrad::Adagrad(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
                 const FlatParameters& flat)
    : ElementwiseOptimizer(kind, options, lr, flat, {"sum"}) {}

void Adagrad::update_range(const at::Tensor& values, const at::Tensor& gradients,
                           std::span<const at::Tensor> buffers, double scale) {
  const double decay = number("weight_decay");
  const double rate = lr() / (1 + static_cast<double>(steps() - 1) * number("lr_decay"));
  gradients.mul_(scale);
  if (decay != 0) gradients.add_(values, decay);
  buffers[0].addcmul_(gradients, gradients);
  values.addcdiv_(gradients, at::sqrt(buffers[0]).add_(number("eps")), -rate);
  gradients.zero_();
}

Adamax::Adamax(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
               const FlatParameters& flat)
    : ElementwiseOptimizer(kind, options, lr, flat, {"exp_avg", "exp_inf"}) {}

void Adamax::update_range(const at::Tensor& values, const at::Tensor& gradients,
                          std::span<const at::Tensor> buffers, double scale) {
  const double beta1 = number("betas", 0), beta2 = number("betas", 1),
               decay = number("weight_decay");
  const at::Tensor &average = buffers[0], largest = buffers[1];
  gradients.mul_(scale);
  average.mul_(beta1).add_(gradients, 1 - beta1);
  largest.copy_(at::maximum(largest.mul_(beta2), gradients.abs_()));
  const double correction =
      is_on("bias_correction") ? 1 - std::pow(beta1, static_cast<double>(steps())) : 1;
  if (decay != 0) values.add_(values, -decay * lr());
  values.addcdiv_(average, at::add(largest, number("eps")), -lr() / correction);
  gradients.zero_();
}

}  // namespace btm
