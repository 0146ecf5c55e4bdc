#include "compat/torch/finite.h"

#include <algorithm>
#include <cstring>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace compat {
namespace {

/// The index of the first value whose exponent bits are all set. It is infinite, or NaN when
/// fraction bits are set too.
template <class Bits, Bits kExponent>
std::optional<std::uint64_t> first_special(std::span<const std::byte> bytes) {
  constexpr std::size_t kBlock = 4096 / sizeof(Bits);
  const std::size_t count = bytes.size() / sizeof(Bits);
  const auto special = [&](std::size_t i) {
    Bits value;
    std::memcpy(&value, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    return (value & kExponent) == kExponent;
  };
  for (std::size_t from = 0; from < count; from += kBlock) {
    const std::size_t to = std::min(count, from + kBlock);
    Bits any = 0;  // without a branch the compiler vectorises the loop
    for (std::size_t i = from; i < to; ++i) any |= static_cast<Bits>(special(i));
    if (any == 0) continue;
    for (std::size_t i = from; i < to; ++i)
      if (special(i)) return i;
  }
  return std::nullopt;
}

/// For the element that first_special() found: infinite rather than NaN.
bool is_infinite(std::span<const std::byte> element, DType dtype) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, element.data(), element.size());
  const int fraction = dtype == DType::kFloat64   ? 52
                       : dtype == DType::kFloat32 ? 23
                       : dtype == DType::kFloat16 ? 10
                                                  : 7;
  return (bits & ((std::uint64_t{1} << fraction) - 1)) == 0;
}

}  // namespace

std::optional<std::uint64_t> first_not_finite(std::span<const std::byte> bytes, DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return first_special<std::uint64_t, std::uint64_t{0x7ff} << 52>(bytes);
    case DType::kFloat32:
      return first_special<std::uint32_t, 0x7f800000>(bytes);
    case DType::kFloat16:
      return first_special<std::uint16_t, 0x7c00>(bytes);
    case DType::kBFloat16:
      return first_special<std::uint16_t, 0x7f80>(bytes);
    default:
      return std::nullopt;
  }
}

void check_finite(std::span<const std::byte> bytes, DType dtype, std::string_view file,
                  std::string_view name, std::uint64_t first) {
  const std::optional<std::uint64_t> found = first_not_finite(bytes, dtype);
  if (!found) return;
  const std::size_t size = element_size(dtype);
  const bool infinite =
      is_infinite(bytes.subspan(static_cast<std::size_t>(*found) * size, size), dtype);
  throw FormatError({std::string(file), {}, {}},
                    concat("'", printable(name), "' holds ", infinite ? "inf" : "nan",
                           " at element ", first + *found));
}

bool is_unset_buffer(std::string_view name) noexcept {
  return name == "_float_tensor" || name.ends_with("._float_tensor");
}

}  // namespace compat
