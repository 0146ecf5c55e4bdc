// SHA-256, computed by OpenSSL.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace compat {

inline constexpr std::size_t kSha256Digits = 64;  ///< Length of a digest in hexadecimal.

/// Whether `text` is a digest in the form of Sha256::hex(): 64 lower-case digits.
bool is_sha256_hex(std::string_view text) noexcept;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  std::string hex();  ///< 64 digits. Ends the computation: update() may not follow.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace compat
