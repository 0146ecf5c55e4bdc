// The optimizers that treat every weight alike, whatever its parameter's shape; Adam has files of
// its own. g: gradient, p: weight, wd: weight decay.
#pragma once

#include <span>

#include "btm/trainer/optimizer.h"

namespace btm {

/// An optimizer with some buffers of one number per weight.
class ElementwiseOptimizer : public Optimizer {
 public:
  std::vector<StateTensor> state_of(std::size_t slot) const override;
  bool has_parts() const final { return true; }
  void update_part(std::int64_t first, const at::Tensor& values, const at::Tensor& gradients,
                   double scale) final;

 protected:
  ElementwiseOptimizer(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
                       const FlatParameters& flat, std::vector<std::string_view> keys);
  /// One update of a range of the weights. `buffers` are the same range of each buffer.
  virtual void update_range(const at::Tensor& values, const at::Tensor& gradients,
                            std::span<const at::Tensor> buffers, double scale) = 0;

 private:
  void update(const at::Tensor& values, const at::Tensor& gradients, double scale) final;

  std::vector<std::string_view> keys_;
  std::vector<at::Tensor> buffers_;
};

/// fairseq's NAG: Nesterov's momentum m, with a buffer v that holds steps of the rate in force.
/// c = lr / the rate of the update before. p = p (1 - lr wd) + m^2 c v - (1 + m) lr g;
/// v = m c v - lr g.
class Nag final : public ElementwiseOptimizer {
 public:
  Nag(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
      const FlatParameters& flat);

 private:
  void begin() override;
  void update_range(const at::Tensor& values, const at::Tensor& gradients,
                    std::span<const at::Tensor> buffers, double scale) override;

  double change_ = 1;  ///< lr / the rate of the update before
};

/// torch's SGD: g += wd p; v = m v + g; p -= lr v (lr g without momentum).
class Sgd final : public ElementwiseOptimizer {
 public:
  Sgd(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
      const FlatParameters& flat);
  std::vector<StateTensor> state_of(std::size_t slot) const override;

 private:
  void update_range(const at::Tensor& values, const at::Tensor& gradients,
                    std::span<const at::Tensor> buffers, double scale) override;
};

/// torch's Adagrad: g += wd p; s += g^2; p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).
class Adagrad final : public ElementwiseOptimizer {
 public:
  Adagrad(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
          const FlatParameters& flat);
  Count count() const override { return Count::kTensor; }
  bool has_state_at_start() const override { return true; }

 private:
  void update_range(const at::Tensor& values, const at::Tensor& gradients,
                    std::span<const at::Tensor> buffers, double scale) override;
};

/// fairseq's Adamax: m = b1 m + (1 - b1) g; u = max(b2 u, |g|); p -= lr wd p;
/// p -= lr / (1 - b1^t) m / (u + eps).
class Adamax final : public ElementwiseOptimizer {
 public:
  Adamax(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
         const FlatParameters& flat);
  Count count() const override { return Count::kInteger; }

 private:
  void update_range(const at::Tensor& values, const at::Tensor& gradients,
                    std::span<const at::Tensor> buffers, double scale) override;
};

}  // namespace btm
