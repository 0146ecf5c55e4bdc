// The exponential moving average of the weights: fairseq 0.12.2's --store-ema.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "btm/model/config.h"
#include "btm/trainer/flat_parameters.h"
#include "btm/trainer/options.h"
#include "btm/trainer/parameter_optimizer.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/torch/pickle_value.h"

namespace btm {

/// average = decay * average + (1 - decay) * weights after each update, element by element, in the
/// run's precision or, with --ema-fp32, in fp32. What fairseq's class does beside that is kept:
///  * The average starts from the weights after the first update, or from --ema-seed-model.
///  * An embedding that is tied to the output projection is one tensor with two names. It decays
///    twice in each step, unless half precision has fp32 copies of the averages.
///  * `extra_state.ema` has no final layer norm: fairseq's copy of the model loses it at the first
///    step, and its decoder.version becomes 1. This class averages the norm and keeps it in
///    `extra_state.btm`. `extra_state.ema_fp32_params` has it in both programs.
class Ema {
 public:
  /// `flat` and `config` must outlive this. Reads --ema-seed-model: FormatError when it holds no
  /// average that fits.
  Ema(const FlatParameters& flat, const TransformerConfig& config,
      const TrainingPrecision& precision, const EmaOptions& options);

  /// To be called after update number `updates`, counted from 1.
  void step(std::int64_t updates);
  /// The decay of the last step: 0 before --ema-start-update, so that the average is a copy.
  double decay() const noexcept { return decay_; }

  /// Adds what fairseq saves to `extra`, and what it does not to `ours`. Nothing before the first
  /// step. Tensors are snapshots.
  void save(compat::PickleArena& arena, compat::PickleDict& extra, compat::PickleDict& ours) const;
  /// Continues from the average in `checkpoint`, whose weights are in `flat`. Without one, from
  /// --ema-seed-model, else from these weights. FormatError for an average that does not fit.
  void restore(const compat::Checkpoint& checkpoint);

 private:
  void start();
  void load(const compat::Checkpoint& checkpoint);
  void mix(const at::Tensor& average, std::int64_t first, std::int64_t count) const;

  const FlatParameters& flat_;
  const TransformerConfig& config_;
  at::ScalarType dtype_;
  EmaOptions options_;
  bool has_masters_ = false;     ///< masters_ is a buffer of its own.
  at::Tensor values_, masters_;  ///< As FlatParameters::values(). Undefined before the start.
  std::int64_t since_step_ = 0;  ///< Updates since the last step, for --ema-update-freq.
  double decay_;
};

}  // namespace btm
