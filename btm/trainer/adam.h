// Adam as fairseq computes it, over flat buffers.
#pragma once

#include "btm/trainer/optimizer.h"

namespace btm {

/// fairseq's Adam: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr wd p;
/// p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
class Adam final : public Optimizer {
 public:
  Adam(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
       const FlatParameters& flat);
  Count count() const override { return Count::kInteger; }
  std::vector<StateTensor> state_of(std::size_t slot) const override;

 private:
  void update(const at::Tensor& values, const at::Tensor& gradients, double lr,
              double scale) override;
  at::Tensor exp_avg_, exp_avg_sq_;
};

}  // namespace btm
