// Adam and gradient clipping as fairseq computes them, over flat buffers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace btm {

/// fairseq's names and defaults (FairseqAdamConfig).
struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
};

/// Adam's moments of a buffer of parameters and the update count.
class Adam {
 public:
  /// Moments of zero for parameters like `values` (1-dimensional), in fp32.
  Adam(const at::Tensor& values, const AdamOptions& options);

  /// One update of `values` (fp32) with `scale * gradients` (fp32); then zeroes the gradients. The
  /// order is that of fairseq's Adam: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr wd p;
  /// p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
  void step(const at::Tensor& values, const at::Tensor& gradients, double lr, double scale) {
    begin_step(lr);
    update(0, values, gradients, scale);
  }
  /// The same in parts: begin_step() once, then update() for each part of the buffer, which begins
  /// at element `first`.
  void begin_step(double lr);
  void update(std::int64_t first, const at::Tensor& values, const at::Tensor& gradients,
              double scale);

  const AdamOptions& options() const noexcept { return options_; }
  void set_options(const AdamOptions& options) noexcept { options_ = options; }
  std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }
  const at::Tensor& exp_avg() const noexcept { return exp_avg_; }
  const at::Tensor& exp_avg_sq() const noexcept { return exp_avg_sq_; }

 private:
  AdamOptions options_;
  std::int64_t steps_ = 0;
  double step_size_ = 0, decay_ = 0;  ///< Of the current step.
  at::Tensor exp_avg_, exp_avg_sq_;
};

/// The Euclidean norm of a 1-dimensional buffer. A CPU sums in double in blocks of fixed size, so
/// that the number of threads does not matter. Infinite or NaN elements make the norm infinite or
/// NaN.
double l2_norm(const at::Tensor& buffer);

/// fairseq's clip coefficient, by which gradients of norm `norm` are multiplied; 1 where `max_norm`
/// is 0.
double clip_coefficient(double norm, double max_norm);

}  // namespace btm
