#include "btm/trainer/adam.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <cmath>

#include "btm/model/clones.h"

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

}  // namespace

Adam::Adam(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
           const FlatParameters& flat)
    : ElementwiseOptimizer(kind, options, lr, flat, {"exp_avg", "exp_avg_sq"}) {}

void Adam::update_range(const at::Tensor& values, const at::Tensor& gradients,
                        std::span<const at::Tensor> buffers, double scale) {
  const at::Tensor &exp_avg = buffers[0], &exp_avg_sq = buffers[1];
  const auto t = static_cast<double>(steps());
  const double beta1 = number("betas", 0), beta2 = number("betas", 1), eps = number("eps");
  const double step_size = lr() * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
  const double decay = lr() * number("weight_decay");
  if (!values.is_cpu()) {
    const at::Tensor gradient = gradients * scale;
    gradients.zero_();
    exp_avg.mul_(beta1).add_(gradient, 1 - beta1);
    exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
    if (decay != 0) values.add_(values, -decay);
    values.addcdiv_(exp_avg, exp_avg_sq.sqrt().add_(eps), -step_size);
    return;
  }
  const Step shared{static_cast<float>(beta1),     static_cast<float>(1 - beta1),
                    static_cast<float>(beta2),     static_cast<float>(1 - beta2),
                    static_cast<float>(eps),       static_cast<float>(decay),
                    static_cast<float>(step_size), static_cast<float>(scale)};
  float* const p = values.mutable_data_ptr<float>();
  float* const g = gradients.mutable_data_ptr<float>();
  float* const m = exp_avg.mutable_data_ptr<float>();
  float* const v = exp_avg_sq.mutable_data_ptr<float>();
  at::parallel_for(0, values.numel(), kBlock, [&](std::int64_t begin, std::int64_t end) {
    adam_block(p + begin, g + begin, m + begin, v + begin, end - begin, shared);
  });
}

}  // namespace btm
