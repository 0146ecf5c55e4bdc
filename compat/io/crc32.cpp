#include "compat/io/crc32.h"

#include <libdeflate.h>
#include <zlib.h>

namespace compat {

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t so_far) noexcept {
  return libdeflate_crc32(so_far, bytes.data(), bytes.size());
}

std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second,
                           std::uint64_t second_size) noexcept {
  static_assert(sizeof(z_off_t) == sizeof second_size);
  return static_cast<std::uint32_t>(
      ::crc32_combine(first, second, static_cast<z_off_t>(second_size)));
}

}  // namespace compat
