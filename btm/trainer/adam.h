// Adam as fairseq computes it, over flat buffers.
#pragma once

#include <span>

#include "btm/trainer/elementwise_optimizers.h"

namespace btm {

/// fairseq's Adam: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr wd p;
/// p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
class Adam final : public ElementwiseOptimizer {
 public:
  Adam(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
       const FlatParameters& flat);
  Count count() const override { return Count::kInteger; }

 private:
  void update_range(const at::Tensor& values, const at::Tensor& gradients,
                    std::span<const at::Tensor> buffers, double scale) override;
};

}  // namespace btm
