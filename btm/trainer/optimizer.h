// fairseq's optimizers over the flat buffers of all parameters.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "btm/trainer/flat_parameters.h"
#include "btm/trainer/optimizer_kinds.h"

namespace btm {

class Optimizer {
 public:
  /// A tensor of one parameter's entry in a checkpoint. Writing to `tensor` restores it.
  struct StateTensor {
    std::string_view key;
    at::Tensor tensor;     ///< fp32, a view of the optimizer's own memory
    bool derived = false;  ///< Written for fairseq's sake, and computed anew by every step.
  };
  /// How an entry counts the updates: not at all, as an int, or as a tensor of one element.
  enum class Count : std::uint8_t { kNone, kInteger, kTensor };

  /// The optimizer that `options` name, with a new state. `flat` must outlive it. `lr` is the first
  /// of --lr. UsageError as check_optimizer().
  static std::unique_ptr<Optimizer> make(const OptimizationOptions& options, double lr,
                                         const FlatParameters& flat);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update of `values` with `scale * gradients`, both fp32 and laid out as the flat
  /// parameters; then zeroes the gradients, whose numbers it may change before.
  void step(const at::Tensor& values, const at::Tensor& gradients, double lr, double scale);
  /// Whether the kind treats every weight alike, so that a step can be made in parts: begin_step()
  /// once, then update_part() for each part of the buffers, which begins at element `first`.
  virtual bool has_parts() const { return false; }
  void begin_step(double lr);
  virtual void update_part(std::int64_t first, const at::Tensor& values,
                           const at::Tensor& gradients, double scale);

  const OptimizerKind& kind() const noexcept { return *kind_; }
  /// Updates so far. Some kinds do not save the number; it is then only known whether it is 0.
  std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }
  /// The numbers of the param_group but `lr` and `params`, by fairseq's keys. A loaded checkpoint
  /// replaces them.
  const compat::ConfigValue::Dict& group() const noexcept { return group_; }
  compat::ConfigValue* option(std::string_view key) noexcept;  ///< Null for an unknown key.

  virtual Count count() const { return Count::kNone; }
  /// Whether there are entries before the first update.
  virtual bool has_state_at_start() const { return false; }
  /// The entry of parameter `slot` in fairseq's order and shapes, the count left out. Empty: the
  /// kind keeps nothing.
  virtual std::vector<StateTensor> state_of(std::size_t slot) const = 0;

 protected:
  Optimizer(const OptimizerKind& kind, const OptimizationOptions& options, double lr,
            const FlatParameters& flat);
  /// steps() counts this update already, and lr() is its rate.
  virtual void update(const at::Tensor& values, const at::Tensor& gradients, double scale) = 0;
  virtual void begin() {}  ///< Called once in each update, before the others.
  double lr() const noexcept { return lr_; }
  double number(std::string_view key, std::size_t item = 0) const;  ///< `item` of a pair
  bool is_on(std::string_view key) const { return number(key) != 0; }
  bool is_none(std::string_view key) const { return find(key).is_none(); }
  /// A buffer of zeros like the flat parameters, in fp32.
  at::Tensor new_buffer() const;
  at::Tensor part(const at::Tensor& buffer, std::size_t slot) const {
    return flat_.view(buffer, slot);
  }

  const FlatParameters& flat_;

 private:
  const compat::ConfigValue& find(std::string_view key) const;

  const OptimizerKind* kind_;
  compat::ConfigValue::Dict group_;
  std::int64_t steps_ = 0;
  double lr_ = 0;
};

}  // namespace btm
