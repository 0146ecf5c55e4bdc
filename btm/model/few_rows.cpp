#include "btm/model/few_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "btm/model/wide.h"

namespace btm {
namespace {

/// Rows of w, and of x, that are multiplied at once: each pair of them has a register of sums.
constexpr std::int64_t kMatrixRows = 4, kFactorRows = 4;
/// From so many rows of x on, the next rows of w are fetched while these are multiplied. Longer
/// rows than kLongestFetched would push them out of the first-level cache.
constexpr std::int64_t kFetchingRows = 8, kLongestFetched = 1024;

// A register's lanes are added in pairs, 8, 4, 2 and 1 lanes apart. Each step takes two registers
// and leaves one, whose lanes are the sums of both. A sum has the same bits in any tile.
#define BTM_ADD_LANES(name, first, second)                                             \
  BTM_WIDE_INLINE void name(Wide& to, const Wide& a, const Wide& b) {                  \
    to = __builtin_shufflevector(a, b, first) + __builtin_shufflevector(a, b, second); \
  }
#define BTM_LANES(...) __VA_ARGS__
BTM_ADD_LANES(add_halves, BTM_LANES(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
              BTM_LANES(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
BTM_ADD_LANES(add_quarters, BTM_LANES(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
              BTM_LANES(4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
BTM_ADD_LANES(add_pairs, BTM_LANES(0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29),
              BTM_LANES(2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
BTM_ADD_LANES(add_lanes, BTM_LANES(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
              BTM_LANES(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#undef BTM_LANES
#undef BTM_ADD_LANES

/// to[r * M + m] = the sum of the lanes of sums[r][m].
template <std::int64_t R, std::int64_t M>
BTM_WIDE_INLINE void sums_of_lanes(const Wide (&sums)[R][M], float* to) {
  static_assert(kMatrixRows == 4 && kFactorRows == 4 && kWideLanes == 16);
  Wide rows[kFactorRows] = {}, even, odd;
  for (std::int64_t r = 0; r < R; ++r) {
    add_halves(even, sums[r][0], sums[r][1 % M]);
    add_halves(odd, sums[r][2 % M], sums[r][3 % M]);
    add_quarters(rows[r], even, odd);
  }
  add_pairs(even, rows[0], rows[1]);
  add_pairs(odd, rows[2], rows[3]);
  add_lanes(even, even, odd);
  float all[kWideLanes];
  write_wide(all, even);
  for (std::int64_t r = 0; r < R; ++r) std::copy_n(all + r * kMatrixRows, M, to + r * M);
}

/// The last in - i numbers of a row, and zeros.
BTM_WIDE_INLINE void read_rest(Wide& to, const float* row, std::int64_t i, std::int64_t in) {
  to = Wide{};
  std::memcpy(&to, row + i, static_cast<std::size_t>(in - i) * sizeof(float));
}

/// out[r * stride + m] = x_r . w_m + bias[m] for R rows of x and M of w. kFetch: there are M more
/// rows of w.
template <std::int64_t R, std::int64_t M, bool kFetch = false>
BTM_WIDE_INLINE void multiply_tile(const float* x, const float* w, std::int64_t in,
                                   const float* bias, float* out, std::int64_t stride) {
  Wide sums[R][M] = {};
  std::int64_t i = 0;
  for (; i + kWideLanes <= in; i += kWideLanes) {
    Wide of_w[M], of_x;
    for (std::int64_t m = 0; m < M; ++m) {
      read_wide(of_w[m], w + m * in + i);
      if constexpr (kFetch)
        __builtin_prefetch(w + (M + m) * in + i, /*write=*/0, /*locality: second level=*/2);
    }
    for (std::int64_t r = 0; r < R; ++r) {
      read_wide(of_x, x + r * in + i);
      for (std::int64_t m = 0; m < M; ++m) sums[r][m] += of_x * of_w[m];
    }
  }
  if (i < in) {
    Wide of_w[M], of_x;
    for (std::int64_t m = 0; m < M; ++m) read_rest(of_w[m], w + m * in, i, in);
    for (std::int64_t r = 0; r < R; ++r) {
      read_rest(of_x, x + r * in, i, in);
      for (std::int64_t m = 0; m < M; ++m) sums[r][m] += of_x * of_w[m];
    }
  }
  float found[R * M];
  sums_of_lanes(sums, found);
  for (std::int64_t r = 0; r < R; ++r)
    for (std::int64_t m = 0; m < M; ++m)
      out[r * stride + m] = found[r * M + m] + (bias != nullptr ? bias[m] : 0.0F);
}

template <std::int64_t M>
BTM_WIDE_INLINE void multiply_rows(const float* x, std::int64_t rows, const float* w,
                                   std::int64_t in, bool fetch, const float* bias, float* out,
                                   std::int64_t stride) {
  std::int64_t row = 0;
  if (fetch) {
    multiply_tile<kFactorRows, M, true>(x, w, in, bias, out, stride);
    row = kFactorRows;
  }
  for (; row + kFactorRows <= rows; row += kFactorRows)
    multiply_tile<kFactorRows, M>(x + row * in, w, in, bias, out + row * stride, stride);
  const float* const left = x + row * in;
  float* const to = out + row * stride;
  if (rows - row == 3) multiply_tile<3, M>(left, w, in, bias, to, stride);
  if (rows - row == 2) multiply_tile<2, M>(left, w, in, bias, to, stride);
  if (rows - row == 1) multiply_tile<1, M>(left, w, in, bias, to, stride);
}

/// Columns [first, last) of the product.
BTM_WIDE_CLONES
void multiply_columns(const float* x, std::int64_t rows, const float* w, std::int64_t in,
                      std::int64_t first, std::int64_t last, const float* bias, float* out,
                      std::int64_t stride) {
  const auto bias_at = [&](std::int64_t m) { return bias != nullptr ? bias + m : nullptr; };
  const bool fetches = rows >= kFetchingRows && in <= kLongestFetched;
  std::int64_t m = first;
  for (; m + kMatrixRows <= last; m += kMatrixRows)
    multiply_rows<kMatrixRows>(x, rows, w + m * in, in, fetches && m + 2 * kMatrixRows <= last,
                               bias_at(m), out + m, stride);
  for (; m < last; ++m)
    multiply_rows<1>(x, rows, w + m * in, in, false, bias_at(m), out + m, stride);
}

}  // namespace

void multiply_few(const float* x, std::int64_t rows, const float* w, std::int64_t in,
                  std::int64_t columns, const float* bias, float* out, std::int64_t stride) {
  constexpr std::int64_t kTask = 64;  ///< columns: whole tiles, whatever the number of threads
  const std::int64_t tasks = (columns + kTask - 1) / kTask;
  at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    multiply_columns(x, rows, w, in, begin * kTask, std::min(end * kTask, columns), bias, out,
                     stride);
  });
}

}  // namespace btm
