// The parts of the 'zst' layout that reader and writer share. Layout: compat/fairseq/zst_dataset.md
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace compat {

constexpr std::string_view kZstMagic{"BTMZSTD\0\0", 9};
constexpr std::uint64_t kZstVersion = 1;
constexpr std::uint32_t kMaxFrameTokens = 1U << 20;
constexpr std::uint8_t kEscape = 255;
/// At most the escape byte and ten bytes of seven bits each.
constexpr std::uint64_t kMaxCodeBytes = 11;
/// Sizes that zstd would compress more than this are stored uncompressed. A small file can so not
/// claim much memory.
constexpr std::uint64_t kMaxSizesRatio = 32;

inline void append_leb128(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

/// Reads the number at `at` and moves `at` behind it. False when the bytes end inside the number or
/// it has more than 64 bits.
inline bool take_leb128(const std::uint8_t*& at, const std::uint8_t* end, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; at != end && shift < 64; shift += 7) {
    const std::uint8_t byte = *at++;
    if (shift == 63 && byte > 1) return false;
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

/// Appends ids as bytes: those below `short_ids` as one byte, the next ones as two, others with an
/// escape. `short_ids` is 0 to 254.
inline void append_coded(std::string& out, std::span<const std::int64_t> ids,
                         std::uint8_t short_ids) {
  const std::int64_t escaped_from = short_ids + (kEscape - std::int64_t{short_ids}) * 256;
  for (const std::int64_t id : ids) {
    if (id >= 0 && id < short_ids) {
      out += static_cast<char>(id);
    } else if (id >= 0 && id < escaped_from) {
      const std::int64_t rest = id - short_ids;
      out += static_cast<char>(short_ids + (rest >> 8));
      out += static_cast<char>(rest & 0xFF);
    } else {
      out += static_cast<char>(kEscape);
      append_leb128(out,
                    static_cast<std::uint64_t>(id) << 1 ^ static_cast<std::uint64_t>(id >> 63));
    }
  }
}

}  // namespace compat
