// CRC-32 as in zip archives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace compat {

/// The CRC of all bytes so far, when `bytes` follow bytes whose CRC is `so_far`.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t so_far = 0) noexcept;

/// The CRC of A followed by B, from crc32(A), crc32(B) and the size of B. Pieces can so be computed
/// in any order.
std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second,
                           std::uint64_t second_size) noexcept;

}  // namespace compat
