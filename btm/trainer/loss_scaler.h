// fairseq's dynamic loss scaling for fp16.
#pragma once

#include <cstdint>
#include <optional>

namespace btm {

struct LossScalerOptions {
  double init_scale = 128;          ///< --fp16-init-scale
  std::int64_t scale_window = 0;    ///< --fp16-scale-window
  double tolerance = 0;             ///< --fp16-scale-tolerance
  std::optional<double> threshold;  ///< --threshold-loss-scale
  double min_loss_scale = 1e-4;     ///< --min-loss-scale
};

/// The factor of the loss that keeps small gradients representable in fp16. Halved at an overflow,
/// doubled after `scale_window` updates without one.
class LossScaler {
 public:
  /// The complete state. fairseq's checkpoints keep only `loss_scale`.
  struct State {
    double loss_scale = 1;
    std::int64_t iteration = 0, last_overflow = -1, last_rescale = -1, overflows_since_rescale = 0;
  };

  explicit LossScaler(const LossScalerOptions& options);

  double loss_scale() const noexcept { return state_.loss_scale; }
  const State& state() const noexcept { return state_; }
  void restore(const State& state) noexcept { state_ = state; }
  void set_loss_scale(double scale) noexcept { state_.loss_scale = scale; }

  /// Lowers the scale after gradients that were not finite. False, with the scale unchanged, where
  /// it would fall to the minimum: fairseq then ends the run.
  bool overflow();
  /// After an update.
  void update();

 private:
  LossScalerOptions options_;
  State state_;
};

}  // namespace btm
