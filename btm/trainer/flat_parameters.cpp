#include "btm/trainer/flat_parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

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
    tensor = std::move(leaf);
  }
}

at::Tensor FlatParameters::view(const at::Tensor& buffer, std::size_t i) const {
  const Slot& slot = slots_[i];
  return buffer.narrow(0, slot.offset, slot.numel).view(slot.shape);
}

}  // namespace btm
