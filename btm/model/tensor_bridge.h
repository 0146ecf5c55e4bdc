// compat::TensorView to at::Tensor: the only place where the two meet.
#pragma once

#include <ATen/core/Tensor.h>

#include "compat/torch/tensor.h"

namespace btm {

/// The values of `view` as `dtype` on `device`. On the CPU a view of this dtype is not copied: the
/// tensor reads the mapped file and must not be written to. Otherwise the values are converted, and
/// the file's pages go back to the system. FormatError when the storage's CRC is wrong.
at::Tensor to_tensor(const compat::TensorView& view, at::ScalarType dtype, at::Device device);

/// The values of a contiguous CPU tensor, not copied. The view keeps the tensor's memory alive.
compat::TensorView to_view(const at::Tensor& tensor);

at::ScalarType scalar_type(compat::DType dtype);

}  // namespace btm
