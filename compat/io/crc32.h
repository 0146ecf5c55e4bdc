// CRC-32 as zip archives keep it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace compat {

/// The CRC of bytes that follow those whose CRC is `so_far`.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t so_far = 0) noexcept;

/// The CRC of A followed by B, from crc32(A), crc32(B) and B's size: pieces can be summed out of
/// order.
std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second,
                           std::uint64_t second_size) noexcept;

}  // namespace compat
