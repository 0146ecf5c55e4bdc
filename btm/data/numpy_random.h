// The part of numpy's legacy RandomState that fairseq's order of samples needs. Streams equal
// numpy's bit for bit.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace btm {

class NumpyRandom {
 public:
  /// RandomState(seed). `seed` is taken modulo 2^32. numpy refuses larger ones, and fairseq never
  /// passes them.
  explicit NumpyRandom(std::int64_t seed);
  /// RandomState([...]), each taken modulo 2^32.
  explicit NumpyRandom(std::span<const std::int64_t> seeds);

  /// A number of 0..highest, by masked rejection.
  std::uint64_t interval(std::uint64_t highest);
  /// permutation(n).
  std::vector<std::int64_t> permutation(std::int64_t n);
  /// choice(n, count), with replacement.
  std::vector<std::int64_t> choice(std::int64_t n, std::int64_t count);

 private:
  std::uint32_t next() { return static_cast<std::uint32_t>(engine_()); }
  std::mt19937 engine_;  // the same generator; numpy seeds it from one int as the standard does
};

}  // namespace btm
