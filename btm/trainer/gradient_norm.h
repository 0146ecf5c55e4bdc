// The norm of the gradients, and the clipping by it.
#pragma once

#include <ATen/core/Tensor.h>

namespace btm {

/// The Euclidean norm of a 1-dimensional buffer. A CPU sums in double in blocks of fixed size, so
/// that the number of threads does not matter. Infinite or NaN elements make the norm infinite or
/// NaN.
double l2_norm(const at::Tensor& buffer);

/// fairseq's clip coefficient, by which gradients of norm `norm` are multiplied; 1 where `max_norm`
/// is 0.
double clip_coefficient(double norm, double max_norm);

}  // namespace btm
