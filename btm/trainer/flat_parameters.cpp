#include "btm/trainer/flat_parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "btm/model/tensor_memory.h"

namespace btm {

FlatParameters::FlatParameters(TransformerLM& model, at::ScalarType dtype, at::Device device) {
  const at::NoGradGuard no_grad;
  std::int64_t end = 0;
  for (const NamedParameter& parameter : model.parameters()) {
    std::int64_t numel = 1;
    for (const std::int64_t size : parameter.shape) numel *= size;
    slots_.push_back({parameter.name, parameter.shape, end, numel});
    end += (numel + kAlignment - 1) / kAlignment * kAlignment;
  }
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  for (at::Tensor* const buffer : {&values_, &gradients_}) {
    *buffer = at::empty({end}, options);
    zero_lazily(*buffer);
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    at::Tensor& tensor = *model.parameters()[i].tensor;
    // A detached view is a leaf; the buffers themselves are not part of autograd.
    at::Tensor leaf = view(values_, i).detach();
    if (tensor.defined()) leaf.copy_(tensor);
    leaf.set_requires_grad(true);
    leaf.mutable_grad() = view(gradients_, i);
    model_parameters_.push_back(leaf);
    tensor = std::move(leaf);
  }
  trained_ = {{0, end}};
}

void FlatParameters::freeze(const std::function<bool(const std::string& name)>& is_frozen) {
  trained_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const bool frozen = is_frozen(slots_[i].name);
    model_parameters_[i].set_requires_grad(!frozen);
    if (frozen) continue;
    const std::int64_t from = slots_[i].offset,
                       to = i + 1 < slots_.size() ? slots_[i + 1].offset : size();
    if (!trained_.empty() && trained_.back().second == from)
      trained_.back().second = to;
    else
      trained_.emplace_back(from, to);
  }
}

bool FlatParameters::is_trained(std::size_t slot) const {
  const std::int64_t at = slots_[slot].offset;
  return std::ranges::any_of(
      trained_, [at](const auto& range) { return range.first <= at && at < range.second; });
}

void FlatParameters::zero_frozen() const {
  std::int64_t from = 0;
  for (const auto& [first, last] : trained_) {
    if (first > from) gradients_.narrow(0, from, first - from).zero_();
    from = last;
  }
  if (from < size()) gradients_.narrow(0, from, size() - from).zero_();
}

at::Tensor FlatParameters::view(const at::Tensor& buffer, std::size_t i) const {
  const Slot& slot = slots_[i];
  return buffer.narrow(0, slot.offset, slot.numel).view(slot.shape);
}

}  // namespace btm
