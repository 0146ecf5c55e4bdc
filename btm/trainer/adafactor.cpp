#include "btm/trainer/adafactor.h"

#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

namespace btm {
namespace {

/// The root mean square, [] on the tensor's device.
at::Tensor rms_of(const at::Tensor& x) {
  return at::linalg_vector_norm(x) / std::sqrt(static_cast<double>(x.numel()));
}

}  // namespace

Adafactor::Adafactor(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
                     const FlatParameters& flat)
    : Optimizer(kind, options, lr, flat), exp_avg_(new_buffer()) {
  const auto fp32 = exp_avg_.options();
  const std::size_t slots = flat.slots().size();
  rms_ = at::zeros({static_cast<std::int64_t>(slots)}, fp32);
  rows_.resize(slots);
  columns_.resize(slots);
  squares_.resize(slots);
  for (std::size_t i = 0; i < slots; ++i) {
    const std::vector<std::int64_t>& shape = flat.slots()[i].shape;
    if (shape.size() < 2) {
      squares_[i] = at::zeros(shape, fp32);
      continue;
    }
    std::vector<std::int64_t> row(shape.begin(), shape.end() - 1), column = row;
    column.back() = shape.back();
    rows_[i] = at::zeros(row, fp32);
    columns_[i] = at::zeros(column, fp32);
  }
}

std::vector<Optimizer::StateTensor> Adafactor::state_of(std::size_t slot) const {
  std::vector<StateTensor> state;
  if (!is_none("beta1")) state.push_back({"exp_avg", part(exp_avg_, slot)});
  if (squares_[slot].defined()) {
    state.push_back({"exp_avg_sq", squares_[slot]});
  } else {
    state.push_back({"exp_avg_sq_row", rows_[slot]});
    state.push_back({"exp_avg_sq_col", columns_[slot]});
  }
  state.push_back({"RMS", rms_.select(0, static_cast<std::int64_t>(slot)), /*derived=*/true});
  return state;
}

at::Tensor Adafactor::direction(std::size_t slot, const at::Tensor& gradient) const {
  const double rest = std::pow(static_cast<double>(steps()), number("decay_rate")), kept = 1 - rest;
  const at::Tensor square = (gradient * gradient).add_(number("eps", 0));
  if (squares_[slot].defined()) {
    squares_[slot].mul_(kept).add_(square, rest);
    return at::rsqrt(squares_[slot]).mul_(gradient);
  }
  const at::Tensor &row = rows_[slot], &column = columns_[slot];
  row.mul_(kept).add_(square.mean(-1), rest);
  column.mul_(kept).add_(square.mean(-2), rest);
  const at::Tensor by_row = (row / row.mean(-1, /*keepdim=*/true)).rsqrt_().unsqueeze(-1);
  return (by_row * column.unsqueeze(-2).rsqrt()).mul_(gradient);
}

void Adafactor::update(const at::Tensor& values, const at::Tensor& gradients, double scale) {
  gradients.mul_(scale);
  const bool averages = !is_none("beta1"), scaled = is_on("scale_parameter");
  const double decay = number("weight_decay");
  double rate = lr();
  for (std::size_t i = 0; i < flat_.slots().size(); ++i) {
    if (!flat_.is_trained(i)) continue;
    const at::Tensor weight = part(values, i);
    const at::Tensor rms = rms_.select(0, static_cast<std::int64_t>(i));
    rms.copy_(rms_of(weight));
    if (scaled) rate *= std::max(number("eps", 1), rms.item<double>());
    at::Tensor step = direction(i, part(gradients, i));
    step.div_((rms_of(step) / number("clip_threshold")).clamp_min_(1)).mul_(rate);
    if (averages) {
      const double beta = number("beta1");
      step = part(exp_avg_, i).mul_(beta).add_(step, 1 - beta);
    }
    if (decay != 0) weight.add_(weight, -decay * rate);
    weight.sub_(step);
  }
  gradients.zero_();
}

}  // namespace btm
