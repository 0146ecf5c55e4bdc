#include "btm/trainer/parameter_optimizer.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "btm/model/tensor_memory.h"

namespace btm {

TrainingPrecision TrainingPrecision::of(const TrainOptions& options) {
  TrainingPrecision precision;
  const CommonOptions& common = options.common;
  precision.half = common.bf16 ? at::kBFloat16 : common.fp16 ? at::kHalf : at::kFloat;
  precision.memory_efficient = options.memory_efficient();
  precision.flat_state =
      common.fp16 && !common.bf16 && !precision.memory_efficient && !common.fp16_no_flatten_grads;
  return precision;
}

std::string TrainingPrecision::optimizer_name(const OptimizerKind& kind) const {
  if (!is_half()) return std::string(kind.class_name);
  return memory_efficient ? "MemoryEfficientFP16Optimizer" : "FP16Optimizer";
}

ParameterOptimizer::ParameterOptimizer(FlatParameters& flat, const TrainingPrecision& precision,
                                       std::unique_ptr<Optimizer> optimizer,
                                       const LossScalerOptions& scaler)
    : flat_(flat), precision_(precision), optimizer_(std::move(optimizer)) {
  if (precision.half == at::kHalf) scaler_.emplace(scaler);
  weights_replaced(/*keep_masters=*/false);
}

void ParameterOptimizer::round(const at::Tensor& from, const at::Tensor& to) const {
  if (!precision_.is_half()) return;
  if (to.scalar_type() != at::kFloat) {
    if (!to.is_same(from)) to.copy_(from);
    return;
  }
  // A piece at a time, so that the rounded numbers take little memory and stay in the cache.
  constexpr std::int64_t kPiece = 1 << 20;
  for (std::int64_t first = 0; first < from.numel(); first += kPiece) {
    const std::int64_t count = std::min(kPiece, from.numel() - first);
    to.narrow(0, first, count).copy_(from.narrow(0, first, count).to(precision_.half));
  }
}

void ParameterOptimizer::publish() {
  round(masters_.defined() ? masters_ : flat_.values(), flat_.values());
}

void ParameterOptimizer::weights_replaced(bool keep_masters) {
  const at::NoGradGuard no_grad;
  if (keep_masters) return publish();
  round(flat_.values(), flat_.values());
  if (precision_.is_half() && !precision_.memory_efficient)
    masters_ = flat_.values().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

ParameterOptimizer::Step ParameterOptimizer::step(double lr, double factor, double clip_norm) {
  const at::NoGradGuard no_grad;
  const at::Tensor& gradients = flat_.gradients();
  flat_.zero_frozen();
  round(gradients, gradients);
  Step step;
  double scale = factor / loss_scale();
  step.gradient_norm = norm_(gradients) * scale;
  if (!std::isfinite(step.gradient_norm)) {
    gradients.zero_();
    step.hopeless = scaler_ && !scaler_->overflow();
    return step;
  }
  if (scaler_) {  // fairseq adds no epsilon to the norm in fp16
    if (clip_norm > 0 && step.gradient_norm > clip_norm) scale *= clip_norm / step.gradient_norm;
  } else {
    scale *= clip_coefficient(step.gradient_norm, clip_norm);
  }
  if (precision_.is_half() &&
      precision_.memory_efficient) {  // fairseq scales the half-precision gradients themselves
    gradients.mul_(scale);
    round(gradients, gradients);
    scale = 1;
  }
  const bool native = flat_.values().scalar_type() != at::kFloat;
  const at::Tensor values = masters_.defined() ? masters_
                            : native           ? flat_.values().to(at::kFloat)
                                               : flat_.values();
  const at::Tensor fp32_gradients = native ? gradients.to(at::kFloat) : gradients;
  optimizer_->step(values, fp32_gradients, lr, scale);
  if (native) gradients.zero_();
  if (native && !masters_.defined()) flat_.values().copy_(values);
  publish();
  if (scaler_) scaler_->update();
  step.updated = true;
  return step;
}

bool ParameterOptimizer::has_parts() const {
  return optimizer_->has_parts() && !flat_.has_frozen();
}

void ParameterOptimizer::begin_parts(double lr, double factor) {
  factor_ = factor;
  squares_ = 0;
  optimizer_->begin_step(lr);
}

void ParameterOptimizer::step_part(std::size_t first, std::size_t last, bool gives_back) {
  const at::NoGradGuard no_grad;
  const auto& slots = flat_.slots();
  const std::int64_t begin = slots[first].offset,
                     end = last < slots.size() ? slots[last].offset : flat_.size();
  const at::Tensor gradients = flat_.gradients().narrow(0, begin, end - begin);
  squares_ += std::pow(l2_norm(gradients), 2);
  if (!std::isfinite(squares_)) {
    gradients.zero_();
    return;
  }
  optimizer_->update_part(begin, flat_.values().narrow(0, begin, end - begin), gradients, factor_);
  if (gives_back) zero_lazily(gradients);
}

ParameterOptimizer::Step ParameterOptimizer::end_parts() {
  Step step;
  step.gradient_norm = std::sqrt(squares_) * factor_;
  step.updated = std::isfinite(step.gradient_norm);
  return step;
}

}  // namespace btm
