#include "btm/trainer/adam.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "btm/model/clones.h"
#include "btm/model/tensor_memory.h"

namespace btm {
namespace {

constexpr std::int64_t kBlock =
    1 << 15;  ///< Elements a thread takes at once: 5 buffers of them fit a second-level cache.

/// The scalars of one update, rounded to fp32 as torch rounds those of its kernels.
struct Step {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, step_size, scale;
};

// The compiler vectorises for several CPUs. Without fused multiply-adds all of them give the same
// numbers.
BTM_CLONES("avx2")
void adam_block(float* __restrict p, float* __restrict g, float* __restrict m, float* __restrict v,
                std::int64_t count, const Step& s) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] * s.scale;
    g[i] = 0;
    m[i] = m[i] * s.beta1 + gradient * s.one_minus_beta1;
    v[i] = v[i] * s.beta2 + s.one_minus_beta2 * gradient * gradient;
    const float decayed = p[i] - s.decay * p[i];
    p[i] = decayed - s.step_size * (m[i] / (std::sqrt(v[i]) + s.eps));
  }
}

BTM_CLONES("avx2") double sum_of_squares(const float* x, std::int64_t count) {
  constexpr int kLanes = 16;  // independent sums, which can be vectorised
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace

Adam::Adam(const at::Tensor& values, const AdamOptions& options)
    : options_(options),
      exp_avg_(at::empty_like(values, at::kFloat)),
      exp_avg_sq_(at::empty_like(values, at::kFloat)) {
  zero_lazily(exp_avg_);
  zero_lazily(exp_avg_sq_);
}

void Adam::begin_step(double lr) {
  ++steps_;
  const auto t = static_cast<double>(steps_);
  step_size_ = lr * std::sqrt(1 - std::pow(options_.beta2, t)) / (1 - std::pow(options_.beta1, t));
  decay_ = lr * options_.weight_decay;
}

void Adam::update(std::int64_t first, const at::Tensor& values, const at::Tensor& gradients,
                  double scale) {
  const at::Tensor exp_avg = exp_avg_.narrow(0, first, values.numel()),
                   exp_avg_sq = exp_avg_sq_.narrow(0, first, values.numel());
  if (!values.is_cpu()) {
    const at::Tensor gradient = gradients * scale;
    gradients.zero_();
    exp_avg.mul_(options_.beta1).add_(gradient, 1 - options_.beta1);
    exp_avg_sq.mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
    if (decay_ != 0) values.add_(values, -decay_);
    values.addcdiv_(exp_avg, exp_avg_sq.sqrt().add_(options_.eps), -step_size_);
    return;
  }
  const Step shared{static_cast<float>(options_.beta1), static_cast<float>(1 - options_.beta1),
                    static_cast<float>(options_.beta2), static_cast<float>(1 - options_.beta2),
                    static_cast<float>(options_.eps),   static_cast<float>(decay_),
                    static_cast<float>(step_size_),     static_cast<float>(scale)};
  float* const p = values.mutable_data_ptr<float>();
  float* const g = gradients.mutable_data_ptr<float>();
  float* const m = exp_avg.mutable_data_ptr<float>();
  float* const v = exp_avg_sq.mutable_data_ptr<float>();
  at::parallel_for(0, values.numel(), kBlock, [&](std::int64_t begin, std::int64_t end) {
    adam_block(p + begin, g + begin, m + begin, v + begin, end - begin, shared);
  });
}

double l2_norm(const at::Tensor& buffer) {
  if (!buffer.is_cpu())
    return at::linalg_vector_norm(buffer, 2, std::nullopt, false, at::kFloat).item<double>();
  if (buffer.scalar_type() != at::kFloat) return l2_norm(buffer.to(at::kFloat));
  const float* const x = buffer.const_data_ptr<float>();
  const std::int64_t blocks = (buffer.numel() + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block)
      sums[static_cast<std::size_t>(block)] =
          sum_of_squares(x + block * kBlock, std::min(kBlock, buffer.numel() - block * kBlock));
  });
  double sum = 0;
  for (const double block : sums) sum += block;
  return std::sqrt(sum);
}

double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

}  // namespace btm
