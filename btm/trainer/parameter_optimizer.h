// The update of all parameters in the precision of the run: fairseq's FairseqAdam, FP16Optimizer
// and MemoryEfficientFP16Optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>

#include "btm/trainer/adam.h"
#include "btm/trainer/flat_parameters.h"
#include "btm/trainer/loss_scaler.h"
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
  /// fairseq's class, by which it tells whether a checkpoint's optimizer state fits.
  std::string optimizer_name() const;
  /// The dtype that the model computes in. On a CPU that is fp32 always: weights and gradients hold
  /// values rounded to half precision, the arithmetic between them is fp32, which is faster there
  /// by far.
  at::ScalarType compute_dtype(at::Device device) const {
    return device.is_cpu() ? at::kFloat : half;
  }
};

class ParameterOptimizer {
 public:
  /// `flat` holds the initial weights, which are rounded to the run's precision (fp32 copies start
  /// from the rounded ones, as fairseq's do).
  ParameterOptimizer(FlatParameters& flat, const TrainingPrecision& precision,
                     const AdamOptions& adam, const LossScalerOptions& scaler);

  /// What the loss is to be multiplied with before its gradients are taken.
  double loss_scale() const noexcept { return scaler_ ? scaler_->loss_scale() : 1; }

  struct Step {
    double gradient_norm =
        0;                 ///< Of the gradients times `factor`, loss scale undone, before clipping.
    bool updated = false;  ///< False: not finite. Nothing was changed but, in fp16, the loss scale.
    bool hopeless = false;  ///< fp16: the loss scale fell to its minimum.
  };
  /// One update with the flat gradients times `factor` (1 / sample size), clipped to `clip_norm`
  /// (0: not). Gradients are zeroed in any case.
  Step step(double lr, double factor, double clip_norm);
  /// Replaces the Euclidean norm of the flat gradients, by which an update is clipped. Must be the
  /// same on all ranks.
  void set_norm(std::function<double(const at::Tensor& gradients)> norm) {
    norm_ = std::move(norm);
  }

  const FlatParameters& flat() const noexcept { return flat_; }
  const TrainingPrecision& precision() const noexcept { return precision_; }
  Adam& adam() noexcept { return adam_; }
  const Adam& adam() const noexcept { return adam_; }
  LossScaler* scaler() noexcept { return scaler_ ? &*scaler_ : nullptr; }
  const LossScaler* scaler() const noexcept { return scaler_ ? &*scaler_ : nullptr; }
  /// fp32 copies of the weights, flat; undefined where the run has none.
  const at::Tensor& masters() const noexcept { return masters_; }
  /// After the flat values were replaced (and, with `keep_masters`, the masters too): makes the one
  /// follow the other.
  void weights_replaced(bool keep_masters);

 private:
  void round(const at::Tensor& values) const;
  void publish();

  FlatParameters& flat_;
  TrainingPrecision precision_;
  Adam adam_;
  std::optional<LossScaler> scaler_;
  at::Tensor masters_;
  std::function<double(const at::Tensor& gradients)> norm_ = l2_norm;
};

}  // namespace btm
