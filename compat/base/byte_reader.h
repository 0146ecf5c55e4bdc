// A bounds-checked little-endian cursor over the bytes of a file. No other code in compat turns
// bytes into numbers, so no reader can run past the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "compat/base/error.h"

namespace compat {

static_assert(std::endian::native == std::endian::little,
              "btm reads little-endian formats in place");

class ByteReader {
 public:
  /// Error messages count offsets from `start`, which names the first byte of `bytes`. An unset
  /// offset counts as 0.
  ByteReader(std::span<const std::byte> bytes, Location start)
      : bytes_(bytes), start_(std::move(start)) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t remaining() const noexcept { return bytes_.size() - position_; }
  bool at_end() const noexcept { return position_ == bytes_.size(); }

  /// The next sizeof(T) bytes as a number. FormatError "needs 8 bytes for WHAT, 3 left" when short.
  template <class T>
  requires std::is_arithmetic_v<T> T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  /// The next `count` bytes, not copied.
  std::span<const std::byte> take(std::uint64_t count, std::string_view what);

  /// The bytes up to the next newline. The newline is consumed and not returned.
  std::string_view take_line(std::string_view what);

  /// Moves to an absolute position in `bytes`. FormatError when it is beyond the end.
  void seek(std::uint64_t position, std::string_view what);

  Location where() const;
  [[noreturn]] void fail(std::string_view problem) const;

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
  Location start_;
};

/// Appends the bytes of a number to `out`, in the form that read() takes.
template <class T>
requires std::is_arithmetic_v<T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// `bytes` as characters, not copied.
inline std::string_view as_chars(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// `text` as bytes, not copied.
inline std::span<const std::byte> as_byte_span(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace compat
