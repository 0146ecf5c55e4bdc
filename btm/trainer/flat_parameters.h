// All parameters of a model in one buffer, their gradients in another.
//
// The contract that clipping, Adam and the all-reduce of gradients build on:
//  * values() and gradients() are 1-dimensional, contiguous, of one length size() and one dtype.
//  * Slot i covers [offset, offset + numel) of both. The parameter is a leaf that requires grad and
//    views values(); its .grad() views gradients(). Neither is ever replaced.
//  * Slots lie in the order of TransformerLM::parameters() (fairseq's named_parameters), each at a
//    multiple of kAlignment elements. The gaps between them stay zero.
//  * Backward passes add to gradients(), and the optimizer zeroes them. They are sums over tokens:
//    the division by the sample size comes after the sum over the ranks.
//  * A gradient is complete once announce() was called for its slot in the last micro-batch, from
//    the last layer to the first, on the thread that runs the backward pass. The slots of one call
//    are neighbours.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "btm/model/transformer_lm.h"

namespace btm {

class FlatParameters {
 public:
  static constexpr std::int64_t kAlignment =
      32;  ///< Elements: a cache line in half precision, two in single.

  struct Slot {
    std::string name;
    std::vector<std::int64_t> shape;
    std::int64_t offset = 0, numel = 0;
  };
  /// The gradients of slots [first, last) are complete.
  using OnReady = std::function<void(std::size_t first, std::size_t last)>;

  /// Moves every parameter of `model` into new zeroed buffers of `dtype` on `device`; existing
  /// values are copied. `model` must outlive this.
  FlatParameters(TransformerLM& model, at::ScalarType dtype, at::Device device);
  FlatParameters(const FlatParameters&) = delete;
  FlatParameters& operator=(const FlatParameters&) = delete;

  const std::vector<Slot>& slots() const noexcept { return slots_; }
  std::int64_t size() const noexcept {
    return values_.numel();
  }  ///< Padding between slots included.
  const at::Tensor& values() const noexcept { return values_; }
  const at::Tensor& gradients() const noexcept { return gradients_; }

  /// The part of a buffer of size() elements that slot `i` covers, in the parameter's shape.
  at::Tensor view(const at::Tensor& buffer, std::size_t i) const;

  /// Parameters that stay as they are: they require no gradient, and zero_frozen() clears what
  /// passes without autograd add to theirs.
  void freeze(const std::function<bool(const std::string& name)>& is_frozen);
  /// [first, last) of the buffers that are trained, ascending, whole slots with the gaps after
  /// them.
  const std::vector<std::pair<std::int64_t, std::int64_t>>& trained() const noexcept {
    return trained_;
  }
  bool is_trained(std::size_t slot) const;
  bool has_frozen() const { return trained_ != std::vector{std::pair{std::int64_t{0}, size()}}; }
  void zero_frozen() const;

  /// Called for the slots whose gradients of an update are complete. May be empty.
  void on_ready(OnReady call) { on_ready_ = std::move(call); }
  void announce(std::size_t first, std::size_t last) const {
    if (on_ready_ && first < last) on_ready_(first, last);
  }

 private:
  std::vector<Slot> slots_;
  at::Tensor values_, gradients_;
  std::vector<std::pair<std::int64_t, std::int64_t>> trained_;
  std::vector<at::Tensor> model_parameters_;  ///< the leaves, by slot
  OnReady on_ready_;
};

}  // namespace btm
