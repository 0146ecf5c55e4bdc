#include "compat/io/crc32.h"

#include <libdeflate.h>

namespace compat {
namespace {

constexpr std::uint32_t kPolynomial = 0xEDB88320;  // bit 31 is x^0, as the CRC's bits run

/// The product of two polynomials over GF(2), modulo the CRC's.
std::uint32_t product(std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t sum = 0;
  for (std::uint32_t bit = 0x80000000; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) sum ^= b;
    b = (b & 1) != 0 ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return sum;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t so_far) noexcept {
  return libdeflate_crc32(so_far, bytes.data(), bytes.size());
}

std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second,
                           std::uint64_t second_size) noexcept {
  // A is followed by as many zero bits as B has: its remainder is multiplied by x^bits. The loop
  // squares x^8 once per binary digit of B's size.
  std::uint32_t power = 0x00800000;  // x^8
  for (; second_size != 0; second_size >>= 1, power = product(power, power))
    if ((second_size & 1) != 0) first = product(first, power);
  return first ^ second;
}

}  // namespace compat
