// Tensors made from others when they are written: other types, scaled, transposed, joined. Nothing
// is computed before.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "compat/torch/tensor.h"

namespace converters {

bool is_floating(compat::DType dtype) noexcept;

/// The elements as floats in row-major order, in pieces. Of a floating-point view other than
/// complex.
void stream_floats(const compat::TensorView& view,
                   const std::function<void(std::span<const float>)>& sink);

/// The same values as `dtype`, rounded to nearest. Integers and bools stay what they are.
compat::TensorView as_dtype(const compat::TensorView& view, compat::DType dtype);

/// Values times `factor` in fp32, as a float32 tensor.
compat::TensorView scaled(const compat::TensorView& view, double factor);

/// Row-major copies, when they are written: of a matrix's transpose, and of tensors joined along
/// their first dimension.
compat::TensorView transposed(const compat::TensorView& view);
compat::TensorView joined_rows(const std::vector<compat::TensorView>& parts);

/// Rows [from, from + count), in place.
compat::TensorView rows(const compat::TensorView& view, std::int64_t from, std::int64_t count);

/// A float32 tensor of values at hand.
compat::TensorView tensor_of(std::span<const float> values, std::vector<std::int64_t> shape);

/// fairseq's sinusoidal positions, rows 0 to `rows` - 1, row 1 (padding) zero; float32 [rows,
/// width].
compat::TensorView sinusoid_table(std::int64_t rows, std::int64_t width);

/// Whether two tensors hold the same floats once the second is multiplied by `factor` in fp32.
bool equal_when_scaled(const compat::TensorView& view, const compat::TensorView& other,
                       double factor);

}  // namespace converters
