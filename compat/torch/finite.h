// Finds NaN and infinity in the tensors of a model whose training diverged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "compat/torch/tensor.h"

namespace compat {

/// The index of the first element of `bytes` that is NaN or infinite, if any. `bytes` is row-major.
/// Complex and integer types have no such element by definition. Runs as fast as memory is read.
std::optional<std::uint64_t> first_not_finite(std::span<const std::byte> bytes, DType dtype);

/// FormatError `FILE: 'NAME' holds nan at element N` for the first such element. `first` is the
/// index of the first element of `bytes` within the tensor.
void check_finite(std::span<const std::byte> bytes, DType dtype, std::string_view file,
                  std::string_view name, std::uint64_t first = 0);

/// Whether a tensor of this name may hold arbitrary values. That is the `_float_tensor` of
/// sinusoidal positions, which fairseq saves uninitialised.
bool is_unset_buffer(std::string_view name) noexcept;

}  // namespace compat
