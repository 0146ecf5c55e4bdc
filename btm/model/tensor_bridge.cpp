#include "btm/model/tensor_bridge.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>

namespace btm {

namespace {

/// In the order of compat::DType.
constexpr std::array<at::ScalarType, 12> kTypes{
    at::kDouble, at::kFloat, at::kHalf,  at::kBFloat16, at::kComplexDouble, at::kComplexFloat,
    at::kLong,   at::kInt,   at::kShort, at::kChar,     at::kByte,          at::kBool};

}  // namespace

at::ScalarType scalar_type(compat::DType dtype) { return kTypes[static_cast<std::size_t>(dtype)]; }

compat::TensorView to_view(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(), "to_view needs a contiguous CPU tensor");
  const auto found = std::ranges::find(kTypes, tensor.scalar_type());
  TORCH_CHECK(found != kTypes.end(), "no compat::DType for ", tensor.scalar_type());
  auto owner = std::make_shared<const at::Tensor>(tensor);
  const auto* const start = static_cast<const std::byte*>(tensor.const_data_ptr());
  const std::span<const std::byte> bytes(start, tensor.nbytes());
  auto storage =
      std::make_shared<const compat::Storage>(static_cast<compat::DType>(found - kTypes.begin()),
                                              bytes, std::shared_ptr<const void>(std::move(owner)));
  return compat::TensorView::contiguous(std::move(storage), tensor.sizes().vec());
}

at::Tensor to_tensor(const compat::TensorView& view, at::ScalarType dtype, at::Device device) {
  const at::ScalarType stored = scalar_type(view.dtype());
  const std::byte* const start =
      view.storage->bytes().data() +
      static_cast<std::size_t>(view.offset) * compat::element_size(view.dtype());
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(start) % compat::element_size(view.dtype()) == 0;
  at::Tensor tensor;
  if (aligned && view.numel() > 0) {
    // from_blob takes void*, but nothing writes through it: the mapping is read-only.
    tensor = at::from_blob(
        const_cast<std::byte*>(start), view.shape, view.stride,
        [keep = view.storage](void*) { keep->release_pages(); }, at::TensorOptions().dtype(stored));
  } else {
    std::vector<std::byte> scratch;
    const auto bytes = view.contiguous_bytes(scratch);
    tensor = at::empty(view.shape, at::TensorOptions().dtype(stored));
    if (!bytes.empty()) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  }
  const bool in_place = stored == dtype && device.is_cpu();
  at::Tensor out = in_place ? tensor : tensor.to(device, dtype);
  if (!in_place || !aligned) view.storage->release_pages();
  return out;
}

}  // namespace btm
