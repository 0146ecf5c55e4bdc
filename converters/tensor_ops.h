// Tensors that are computed from others when they are written: other types, scaled, transposed,
// joined.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "compat/torch/tensor.h"

namespace converters {

bool is_floating(compat::DType dtype) noexcept;

/// Passes the elements as floats in row-major order, in pieces. `view` is of a floating-point type,
/// not complex.
void stream_floats(const compat::TensorView& view,
                   const std::function<void(std::span<const float>)>& sink);

/// The values as `dtype`, rounded to nearest. Integer and bool tensors are not changed.
compat::TensorView as_dtype(const compat::TensorView& view, compat::DType dtype);

/// The values times `factor` in fp32, as a float32 tensor.
compat::TensorView scaled(const compat::TensorView& view, double factor);

/// The transpose of a matrix, and tensors joined along their first dimension. Row-major; copied
/// when they are written.
compat::TensorView transposed(const compat::TensorView& view);
compat::TensorView joined_rows(const std::vector<compat::TensorView>& parts);

/// Rows [from, from + count), without a copy.
compat::TensorView rows(const compat::TensorView& view, std::int64_t from, std::int64_t count);

/// A float32 tensor of the given values.
compat::TensorView tensor_of(std::span<const float> values, std::vector<std::int64_t> shape);

/// fairseq's sinusoidal positions: float32 [rows, width]. Row 1 (padding) is zero.
compat::TensorView sinusoid_table(std::int64_t rows, std::int64_t width);

/// Whether the first tensor equals the second times `factor` in fp32.
bool equal_when_scaled(const compat::TensorView& view, const compat::TensorView& other,
                       double factor);

}  // namespace converters
