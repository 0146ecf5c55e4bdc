#include "btm/model/tensor_bridge.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <array>
#include <cstring>

namespace btm {

at::ScalarType scalar_type(compat::DType dtype) {
  // In the order of compat::DType.
  constexpr std::array<at::ScalarType, 12> kTypes{at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kComplexDouble,
                                                  at::kComplexFloat, at::kLong, at::kInt, at::kShort, at::kChar, at::kByte,
                                                  at::kBool};
  return kTypes[static_cast<std::size_t>(dtype)];
}

at::Tensor to_tensor(const compat::TensorView& view, at::ScalarType dtype, at::Device device) {
  const at::ScalarType stored = scalar_type(view.dtype());
  const std::byte* const start =
      view.storage->bytes().data() + static_cast<std::size_t>(view.offset) * compat::element_size(view.dtype());
  const bool aligned = reinterpret_cast<std::uintptr_t>(start) % compat::element_size(view.dtype()) == 0;
  at::Tensor tensor;
  if (aligned && view.numel() > 0) {
    // from_blob takes void*; nothing writes through it (the mapping is read-only and would fault).
    tensor = at::from_blob(const_cast<std::byte*>(start), view.shape, view.stride,
                           [keep = view.storage](void*) {}, at::TensorOptions().dtype(stored));
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
