// Products of a few fp32 rows by an fp32 matrix on the CPU, at the speed at which the matrix is
// read from memory. LibTorch's products of so few rows read at a third of it.
#pragma once

#include <cstdint>

namespace btm {

/// Up to this many rows multiply_few() is faster than LibTorch.
constexpr std::int64_t kFewRows = 64;

/// out = x w^T + bias: x [rows, in], w [columns, in], bias [columns] or null; rows of `out` are
/// `stride` floats apart. A row has the same bits whatever the other rows are.
void multiply_few(const float* x, std::int64_t rows, const float* w, std::int64_t in,
                  std::int64_t columns, const float* bias, float* out, std::int64_t stride);

}  // namespace btm
