// Updates all parameters in the precision of the run: fairseq's optimizers, FP16Optimizer and
// MemoryEfficientFP16Optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "btm/trainer/flat_parameters.h"
#include "btm/trainer/gradient_norm.h"
#include "btm/trainer/loss_scaler.h"
#include "btm/trainer/optimizer.h"
#include "btm/trainer/options.h"

namespace btm {

/// How weights and gradients are kept.
struct TrainingPrecision {
  at::ScalarType half = at::kFloat;  ///< kHalf, kBFloat16; kFloat: no half precision
  bool memory_efficient = false;     ///< no fp32 copy of the weights
  bool flat_state =
      false;  ///< one optimizer entry for all parameters, as fairseq's --fp16 saves it

  static TrainingPrecision of(const TrainOptions& options);
  bool is_half() const noexcept { return half != at::kFloat; }
  /// The name of fairseq's class, which a checkpoint's optimizer state must match.
  std::string optimizer_name(const OptimizerKind& kind) const;
  /// The dtype of weights, activations and gradients. Always fp32 on a CPU, whose kernels for half
  /// precision are slow; weights and gradients then hold values that are rounded to it. Products
  /// may still round their factors (see TransformerLM::set_products).
  at::ScalarType compute_dtype(at::Device device) const {
    return device.is_cpu() ? at::kFloat : half;
  }
};

class ParameterOptimizer {
 public:
  /// `flat` holds the initial weights, which are rounded to the run's precision. As in fairseq,
  /// fp32 copies start from the rounded weights.
  ParameterOptimizer(FlatParameters& flat, const TrainingPrecision& precision,
                     std::unique_ptr<Optimizer> optimizer, const LossScalerOptions& scaler);

  /// The factor of the loss in the backward pass.
  double loss_scale() const noexcept { return scaler_ ? scaler_->loss_scale() : 1; }

  struct Step {
    double gradient_norm =
        0;  ///< Of the gradients times `factor`, without the loss scale, before clipping.
    bool updated =
        false;  ///< False: the gradients are not finite, and only fp16's loss scale has changed.
    bool hopeless = false;  ///< fp16: the loss scale fell to its minimum.
  };
  /// One update with the flat gradients times `factor` (1 / sample size), clipped to `clip_norm`
  /// (0: not). Always zeroes the gradients.
  Step step(double lr, double factor, double clip_norm);
  /// The same without clipping, in fp32, on one rank: begin_parts(), then step_part() for the slots
  /// [first, last) whose gradients are complete, then end_parts(). A part whose gradients are not
  /// finite is not updated, nor are those after it. `gives_back`: the memory of gradients goes back
  /// to the system, where they are on the CPU.
  bool has_parts() const;  ///< Whether the optimizer can do so, and no parameter is frozen.
  void begin_parts(double lr, double factor);
  void step_part(std::size_t first, std::size_t last, bool gives_back);
  Step end_parts();
  /// Replaces the function that computes the norm for clipping. All ranks must get the same norm.
  void set_norm(std::function<double(const at::Tensor& gradients)> norm) {
    norm_ = std::move(norm);
  }

  const FlatParameters& flat() const noexcept { return flat_; }
  const TrainingPrecision& precision() const noexcept { return precision_; }
  Optimizer& state() noexcept { return *optimizer_; }
  const Optimizer& state() const noexcept { return *optimizer_; }
  LossScaler* scaler() noexcept { return scaler_ ? &*scaler_ : nullptr; }
  const LossScaler* scaler() const noexcept { return scaler_ ? &*scaler_ : nullptr; }
  /// fp32 copies of the weights, flat; undefined where the run has none.
  const at::Tensor& masters() const noexcept { return masters_; }
  /// Call it after replacing the flat values, or, with `keep_masters`, the masters. Computes the
  /// other from them.
  void weights_replaced(bool keep_masters);

 private:
  /// `from`, rounded to the run's half precision if it has one, to `to`; they may be the same.
  void round(const at::Tensor& from, const at::Tensor& to) const;
  void publish();

  FlatParameters& flat_;
  TrainingPrecision precision_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<LossScaler> scaler_;
  at::Tensor masters_;
  std::function<double(const at::Tensor& gradients)> norm_ = l2_norm;
  double factor_ = 1, squares_ = 0;  ///< Of a step in parts: the sum of the gradients' squares.
};

}  // namespace btm
