// Tensors of a model whose training diverged: NaN and infinity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "compat/torch/tensor.h"

namespace compat {

/// The number of the first element of `bytes` (row-major, of a floating-point `dtype` other than
/// complex) that is NaN or infinite; empty when all are finite, or no floats. Reads a word of the
/// processor's vectors at a time, as fast as memory gives them.
std::optional<std::uint64_t> first_not_finite(std::span<const std::byte> bytes, DType dtype);

/// FormatError `FILE: 'NAME' holds nan at element N` for the first such element. `first` is the
/// number of the first of `bytes` in the tensor.
void check_finite(std::span<const std::byte> bytes, DType dtype, std::string_view file,
                  std::string_view name, std::uint64_t first = 0);

/// Whether a tensor of this name may hold anything: the `_float_tensor` of sinusoidal positions,
/// which fairseq saves as it came from the allocator.
bool is_unset_buffer(std::string_view name) noexcept;

}  // namespace compat
