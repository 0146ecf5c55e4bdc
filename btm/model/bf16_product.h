// Products of fp32 matrices rounded to bf16, with sums in fp32, on a CPU that has_fast_bf16(). The
// second factor is packed block by block while it is multiplied, so that no packed copy of a weight
// that changes with every update is kept.
#pragma once

#include <ATen/core/Tensor.h>

#include "btm/model/bf16_pairs.h"

namespace btm {

/// A first factor: x [M, K] fp32 -> [M, K rounded up to even] bf16, zero beyond K.
at::Tensor bf16_rows(const at::Tensor& x);
/// The transpose as a first factor: x [K, M] fp32 -> [M, K rounded up to a multiple of 32]
/// bf16, zero beyond K.
at::Tensor bf16_transposed(const at::Tensor& x);

/// out = a b + bias: a [M, K'] a first factor; b [K, N] fp32, copied unless its rows or columns are
/// contiguous; bias [N] fp32 or undefined; out [M, N] fp32 with contiguous rows. A row of out
/// depends on the same row of a alone.
void multiply_bf16(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias,
                   const at::Tensor& out);
/// out += a b.
void add_multiply_bf16(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out);

}  // namespace btm
