#include "btm/model/bf16_pairs.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 reports the intrinsics' own undefined registers (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace btm {
namespace {

using c10::BFloat16;

/// Rows of a factor that one kernel takes. Every number of rows has a kernel of its own, which is
/// compiled when it is first used, so others are made up of powers of two.
constexpr std::int64_t kKernelRows = 128;

/// A product of 1 x 2 by 2 x 64 through LibTorch's kernel, which throws where it has none.
bool kernel_works() {
  const std::array<BFloat16, 2> x{BFloat16(2), BFloat16(3)};
  std::array<BFloat16, 2 * kPairsWidth> w;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = BFloat16(i % 2 == 0 ? 1.0F : 10.0F);
  std::array<float, kPairsWidth> out{};
  try {
    at::native::cpublas::brgemm(1, kPairsWidth, 2, 2, kPairsWidth, kPairsWidth, false, x.data(),
                                w.data(), out.data());
    release_kernels();
  } catch (const std::exception&) {
    return false;
  }
  return std::ranges::all_of(out, [](float value) { return value == 32; });
}

}  // namespace

bool has_fast_bf16() {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("avx512bf16") != 0 && kernel_works();
  return fast;
#else
  return false;
#endif
}

namespace {

void multiply_by_kernel(const BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                        const BFloat16* b, std::int64_t pairs, std::int64_t columns,
                        bool accumulate, float* out, std::int64_t stride) {
  for (std::int64_t row = 0, count = kKernelRows; row < rows; row += count) {
    while (count > rows - row) count /= 2;
    at::native::cpublas::brgemm(count, columns, 2 * pairs, a_stride, kPairsWidth, stride,
                                accumulate, a + row * a_stride, b, out + row * stride);
  }
}

#if defined(__x86_64__)

/// The same for R rows, without the cost of a call, which is half of one row's product.
template <std::int64_t R>
__attribute__((target("avx512f,avx512bf16"))) void multiply_pair_rows(
    const BFloat16* a, std::int64_t a_stride, const BFloat16* b, std::int64_t pairs,
    std::int64_t columns, bool accumulate, float* out, std::int64_t stride) {
  constexpr std::int64_t kLanes16 = 16, kParts = kPairsWidth / kLanes16;
  constexpr std::int64_t kAhead = 16;  ///< Pairs: a page of 4 KiB, where the processor's own ends.
  __m512 sums[R][kParts];
  for (auto& row : sums)
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    __m512bh factors[kParts];
    for (std::int64_t k = 0; k < kParts; ++k)
      _mm_prefetch(reinterpret_cast<const char*>(b) + (pair + kAhead) * kPairsWidth * 4 + k * 64,
                   _MM_HINT_T0);
    for (std::int64_t k = 0; k < kParts; ++k)
      factors[k] = (__m512bh)_mm512_loadu_si512(b + (pair * kPairsWidth + k * kLanes16) * 2);
    for (std::int64_t r = 0; r < R; ++r) {
      std::int32_t both;
      std::memcpy(&both, a + r * a_stride + 2 * pair, sizeof(both));
      const auto of_a = (__m512bh)_mm512_set1_epi32(both);
      for (std::int64_t k = 0; k < kParts; ++k)
        sums[r][k] = _mm512_dpbf16_ps(sums[r][k], of_a, factors[k]);
    }
  }
  for (std::int64_t r = 0; r < R; ++r)
    for (std::int64_t k = 0; k * kLanes16 < columns; ++k) {
      const std::int64_t left = columns - k * kLanes16;
      const auto mask = static_cast<__mmask16>(left >= kLanes16 ? 0xFFFF : (1 << left) - 1);
      float* const to = out + r * stride + k * kLanes16;
      // LibTorch's kernel, too, adds what was there to the whole sum.
      if (accumulate) sums[r][k] = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sums[r][k]);
      _mm512_mask_storeu_ps(to, mask, sums[r][k]);
    }
}

void multiply_by_hand(const BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                      const BFloat16* b, std::int64_t pairs, std::int64_t columns, bool accumulate,
                      float* out, std::int64_t stride) {
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4)
    multiply_pair_rows<4>(a + row * a_stride, a_stride, b, pairs, columns, accumulate,
                          out + row * stride, stride);
  for (; row < rows; ++row)
    multiply_pair_rows<1>(a + row * a_stride, a_stride, b, pairs, columns, accumulate,
                          out + row * stride, stride);
}

/// Whether both ways give the same bits, as they do where LibTorch's kernel uses avx512_bf16 and
/// not AMX. A row of a product must not depend on the number of rows.
bool by_hand_is_the_same() {
  constexpr std::int64_t kTried = 5, kPairs = 100;
  std::vector<BFloat16> a, b;
  std::uint32_t state = 1;
  const auto random = [&] {
    state = state * 1664525U + 1013904223U;
    return static_cast<float>(state >> 8) / 8388608.0F - 1;
  };
  for (std::int64_t i = 0; i < kTried * 2 * kPairs; ++i) a.emplace_back(random());
  for (std::int64_t i = 0; i < 2 * kPairs * kPairsWidth; ++i) b.emplace_back(random());
  std::vector<float> by_kernel(static_cast<std::size_t>(kTried * kPairsWidth));
  for (float& value : by_kernel) value = random();
  std::vector<float> by_hand = by_kernel;
  multiply_by_kernel(a.data(), 2 * kPairs, kTried, b.data(), kPairs, kPairsWidth, true,
                     by_kernel.data(), kPairsWidth);
  release_kernels();
  multiply_by_hand(a.data(), 2 * kPairs, kTried, b.data(), kPairs, kPairsWidth, true,
                   by_hand.data(), kPairsWidth);
  return by_kernel == by_hand;
}

#endif

}  // namespace

void multiply_pairs(const BFloat16* a, std::int64_t a_stride, std::int64_t rows, const BFloat16* b,
                    std::int64_t pairs, std::int64_t columns, bool accumulate, float* out,
                    std::int64_t stride) {
#if defined(__x86_64__)
  constexpr std::int64_t kByHand = 4;  ///< From more rows on LibTorch's kernel is faster.
  static const bool same = by_hand_is_the_same();
  if (rows <= kByHand && same)
    return multiply_by_hand(a, a_stride, rows, b, pairs, columns, accumulate, out, stride);
#endif
  multiply_by_kernel(a, a_stride, rows, b, pairs, columns, accumulate, out, stride);
}

void release_kernels() { at::native::cpublas::brgemm_release(); }

#if defined(__x86_64__)

namespace {

#define BTM_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define BTM_AVX512_INLINE BTM_AVX512 inline __attribute__((always_inline))

constexpr std::int64_t kPairLanes = 16;  ///< fp32 of a register, or pairs of bf16

BTM_AVX512_INLINE __mmask16 lanes(std::int64_t count) {
  return count >= kPairLanes ? 0xFFFF : static_cast<__mmask16>(count > 0 ? (1U << count) - 1U : 0U);
}

/// Pairs of bf16: lane i holds a[i] below b[i].
BTM_AVX512_INLINE __m512i pairs_of(__m512 a, __m512 b) {
  const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a)),
                high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/// What `pairs` leave of a and b.
BTM_AVX512_INLINE __m512i rest_of(__m512i pairs, __m512 a, __m512 b) {
  const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
               high = _mm512_castsi512_ps(
                   _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))));
  return pairs_of(_mm512_sub_ps(a, low), _mm512_sub_ps(b, high));
}

/// Transposes 16 x 16 lanes.
BTM_AVX512_INLINE void transpose(__m512i (&r)[kPairLanes]) {
  __m512i t[kPairLanes];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 4; ++j) {
      t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
      t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xDD);
    }
  for (int j = 0; j < 4; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
    r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xDD);
    r[j + 4] = _mm512_shuffle_i32x4(t[j + 4], t[j + 12], 0x88);
    r[j + 12] = _mm512_shuffle_i32x4(t[j + 4], t[j + 12], 0xDD);
  }
}

/// pack_pairs() of a matrix whose rows are contiguous.
BTM_AVX512 void pack_rows(const float* b, std::int64_t stride, std::int64_t rows,
                          std::int64_t columns, std::int64_t pairs, BFloat16* hi, BFloat16* lo) {
  for (std::int64_t pair = 0; pair < pairs; ++pair)
    for (std::int64_t column = 0; column < kPairsWidth; column += kPairLanes) {
      const __mmask16 mask = lanes(columns - column);
      const float* const from = b + 2 * pair * stride + column;
      const __m512 even = _mm512_maskz_loadu_ps(2 * pair < rows ? mask : 0, from),
                   odd = _mm512_maskz_loadu_ps(2 * pair + 1 < rows ? mask : 0, from + stride);
      const __m512i both = pairs_of(even, odd);
      const std::int64_t at = (pair * kPairsWidth + column) * 2;
      _mm512_storeu_si512(hi + at, both);
      if (lo != nullptr) _mm512_storeu_si512(lo + at, rest_of(both, even, odd));
    }
}

/// 16 pairs [16][2] of a row of 32 floats, of which `count` exist.
BTM_AVX512_INLINE void load_row(const float* from, std::int64_t count, __m512& even, __m512& odd) {
  const __m512 first = _mm512_maskz_loadu_ps(lanes(count), from),
               second = _mm512_maskz_loadu_ps(lanes(count - kPairLanes), from + kPairLanes);
  const __m512i evens =
                    _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  even = _mm512_permutex2var_ps(first, evens, second);
  odd = _mm512_permutex2var_ps(first, odds, second);
}

/// pack_pairs() of a matrix whose columns are contiguous: 16 columns by 16 pairs at a time.
BTM_AVX512 void pack_columns(const float* b, std::int64_t stride, std::int64_t rows,
                             std::int64_t columns, std::int64_t pairs, BFloat16* hi, BFloat16* lo) {
  __m512i high[kPairLanes], low[kPairLanes];
  for (std::int64_t column = 0; column < kPairsWidth; column += kPairLanes)
    for (std::int64_t pair = 0; pair < pairs; pair += kPairLanes) {
      for (std::int64_t i = 0; i < kPairLanes; ++i) {
        __m512 even, odd;
        load_row(b + (column + i) * stride + 2 * pair, column + i < columns ? rows - 2 * pair : 0,
                 even, odd);
        high[i] = pairs_of(even, odd);
        if (lo != nullptr) low[i] = rest_of(high[i], even, odd);
      }
      transpose(high);
      if (lo != nullptr) transpose(low);
      const std::int64_t count = std::min(kPairLanes, pairs - pair);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = ((pair + i) * kPairsWidth + column) * 2;
        _mm512_storeu_si512(hi + at, high[i]);
        if (lo != nullptr) _mm512_storeu_si512(lo + at, low[i]);
      }
    }
}

}  // namespace

void pack_pairs(const MatrixView& b, std::int64_t rows, std::int64_t columns, std::int64_t pairs,
                BFloat16* hi, BFloat16* lo) {
  if (b.column == 1)
    pack_rows(b.data, b.row, rows, columns, pairs, hi, lo);
  else
    pack_columns(b.data, b.column, rows, columns, pairs, hi, lo);
}

BTM_AVX512 void transpose_to_bf16(const float* x, std::int64_t stride, std::int64_t rows,
                                  std::int64_t columns, std::int64_t depth, BFloat16* out) {
  __m512i tile[kPairLanes];
  for (std::int64_t row = 0; row < depth; row += 2 * kPairLanes)
    for (std::int64_t column = 0; column < columns; column += kPairLanes) {
      const __mmask16 mask = lanes(columns - column);
      for (std::int64_t i = 0; i < kPairLanes; ++i) {
        const std::int64_t from = row + 2 * i;
        const float* const at = x + from * stride + column;
        tile[i] = pairs_of(_mm512_maskz_loadu_ps(from < rows ? mask : 0, at),
                           _mm512_maskz_loadu_ps(from + 1 < rows ? mask : 0, at + stride));
      }
      transpose(tile);
      const std::int64_t count = std::min(kPairLanes, columns - column);
      for (std::int64_t i = 0; i < count; ++i)
        _mm512_storeu_si512(out + (column + i) * depth + row, tile[i]);
    }
}

#else

void pack_pairs(const MatrixView&, std::int64_t, std::int64_t, std::int64_t, BFloat16*, BFloat16*) {
}
void transpose_to_bf16(const float*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                       BFloat16*) {}

#endif

}  // namespace btm

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
