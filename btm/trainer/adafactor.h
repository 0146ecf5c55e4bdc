// fairseq's Adafactor (Shazeer and Stern, 2018), over flat buffers.
#pragma once

#include "btm/trainer/optimizer.h"

namespace btm {

/// The second moments of a matrix are kept as means of its rows and of its columns. `lr` is that of
/// the run: fairseq's --relative-step cannot be used there, nor here. With scale_parameter the rate
/// is multiplied by max(eps[1], the weights' root mean square) of one parameter after the other, as
/// in fairseq: the product goes on to the next parameter.
class Adafactor final : public Optimizer {
 public:
  Adafactor(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
            const FlatParameters& flat);
  Count count() const override { return Count::kInteger; }
  std::vector<StateTensor> state_of(std::size_t slot) const override;

 private:
  void update(const at::Tensor& values, const at::Tensor& gradients, double scale) override;
  /// The step of one parameter before the rate, from its gradient of any shape.
  at::Tensor direction(std::size_t slot, const at::Tensor& gradient) const;

  at::Tensor exp_avg_;                      ///< flat; in use with beta1
  std::vector<at::Tensor> rows_, columns_;  ///< Of parameters of two dimensions or more.
  std::vector<at::Tensor> squares_;         ///< Of the others.
  at::Tensor rms_;                          ///< [slots]
};

}  // namespace btm
