// Tensors made of pieces that lie in several files. They are computed when they are read.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "compat/torch/tensor.h"

namespace compat {

/// Rows [from, from + count) of a tensor: a view into its storage. `count` of them exist.
TensorView rows_of(const TensorView& view, std::int64_t from, std::int64_t count);

/// The pieces one below the other, or, for matrices, side by side. A single piece is returned as it
/// is. "" or the problem: pieces of other types or shapes than the first's.
std::string join_rows(std::span<const TensorView> pieces, TensorView& out);
std::string join_columns(std::span<const TensorView> pieces, TensorView& out);

}  // namespace compat
