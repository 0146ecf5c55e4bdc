#include "btm/model/row_softmax.h"

#include <algorithm>
#include <cstring>

#include "btm/model/clones.h"

namespace btm {
namespace {

#define BTM_CLONED BTM_CLONES("arch=x86-64-v4", "arch=x86-64-v3")
#define BTM_INLINE inline __attribute__((always_inline))

// No wider than AVX2's registers: GCC splits comparisons of wider vectors into single elements.
constexpr std::int64_t kLanes = 8;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

BTM_INLINE void load(Floats& to, const float* from) { std::memcpy(&to, from, sizeof(to)); }

/// Stores `value` in the lanes whose `mask` is set (all bits) and leaves the others.
BTM_INLINE void replace(Floats& x, const Ints& mask, const Floats& value) {
  x = reinterpret_cast<Floats>((reinterpret_cast<Ints>(value) & mask) |
                               (reinterpret_cast<Ints>(x) & ~mask));
}

/// exp(x) for x <= 0, or above it by rounding. 1e-38 for all x below -87.3; NaN for NaN.
BTM_INLINE void to_exp(Floats& x) {
  constexpr float kLowest = -87.3F, kLog2E = 1.44269504F, kLn2High = 0.693359375F,
                  kLn2Low = -2.12194440e-4F;
  constexpr float kRound =
      12582912.F;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  replace(x, x < kLowest, Floats{} + kLowest);  // keeps NaN
  const Floats rounded = x * kLog2E + kRound;
  const Floats n = rounded - kRound;
  Floats r = x - n * kLn2High;
  r = r - n * kLn2Low;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.F;
  x = p * reinterpret_cast<Floats>((reinterpret_cast<Ints>(rounded) - 0x4B400000 + 127) << 23);
}

BTM_CLONED float largest(const float* x, std::int64_t count, float max) {
  Floats even = Floats{} + max, odd = even, value;
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    load(value, x + i);
    replace(even, value > even, value);
    load(value, x + i + kLanes);
    replace(odd, value > odd, value);
  }
  for (int lane = 0; lane < kLanes; ++lane) max = std::max({max, even[lane], odd[lane]});
  for (; i < count; ++i) max = std::max(max, x[i]);
  return max;
}

BTM_CLONED double sum_of_exp(const float* x, std::int64_t count, float shift) {
  Floats even{}, odd{}, value;
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    load(value, x + i);
    value -= shift;
    to_exp(value);
    even += value;
    load(value, x + i + kLanes);
    value -= shift;
    to_exp(value);
    odd += value;
  }
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += static_cast<double>(even[lane]) + odd[lane];
  for (; i < count; ++i) sum += std::exp(x[i] - shift);
  return sum;
}

BTM_CLONED void write_exp(float* x, std::int64_t count, float shift, float scale) {
  Floats value;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    load(value, x + i);
    value -= shift;
    to_exp(value);
    value *= scale;
    std::memcpy(x + i, &value, sizeof(value));
  }
  for (; i < count; ++i) x[i] = std::exp(x[i] - shift) * scale;
}

constexpr std::int64_t kPiece = 2048;  ///< Stays in the first-level cache between the pass for the
                                       ///< maximum and that for the sum.

}  // namespace

void LogSumExp::add(const float* x, std::int64_t count) {
  for (; count > 0; x += kPiece, count -= kPiece) {
    const std::int64_t piece = std::min(count, kPiece);
    const float max = largest(x, piece, max_);
    if (max > max_) {
      sum_ *= std::exp(static_cast<double>(max_) - max);
      max_ = max;
    }
    sum_ += sum_of_exp(x, piece, max_);
  }
}

float largest_of(const float* x, std::int64_t count) {
  return largest(x, count, -std::numeric_limits<float>::infinity());
}

void exp_of_difference(float* x, std::int64_t count, float shift, float scale) {
  write_exp(x, count, shift, scale);
}

}  // namespace btm
