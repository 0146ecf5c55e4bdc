#include "btm/model/few_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "btm/model/wide.h"

namespace btm {
namespace {

/// Rows of w, and of x, that are multiplied at once: each pair of them has a register of sums.
constexpr std::int64_t kMatrixRows = 4, kFactorRows = 2;

BTM_WIDE_INLINE float sum_of_lanes(const Wide& value) {
  typedef float Half __attribute__((vector_size(kWideLanes / 2 * sizeof(float))));
  typedef float Quarter __attribute__((vector_size(kWideLanes / 4 * sizeof(float))));
  Half halves[2];
  std::memcpy(halves, &value, sizeof(value));
  halves[0] += halves[1];
  Quarter quarters[2];
  std::memcpy(quarters, halves, sizeof(quarters));
  quarters[0] += quarters[1];
  return (quarters[0][0] + quarters[0][2]) + (quarters[0][1] + quarters[0][3]);
}

/// out[r * stride + m] = x_r . w_m + bias[m] for R rows of x and M of w.
template <std::int64_t R, std::int64_t M>
BTM_WIDE_INLINE void multiply_tile(const float* x, const float* w, std::int64_t in,
                                   const float* bias, float* out, std::int64_t stride) {
  Wide sums[R][M] = {};
  std::int64_t i = 0;
  for (; i + kWideLanes <= in; i += kWideLanes) {
    Wide of_w[M], of_x;
    for (std::int64_t m = 0; m < M; ++m) read_wide(of_w[m], w + m * in + i);
    for (std::int64_t r = 0; r < R; ++r) {
      read_wide(of_x, x + r * in + i);
      for (std::int64_t m = 0; m < M; ++m) sums[r][m] += of_x * of_w[m];
    }
  }
  for (std::int64_t r = 0; r < R; ++r)
    for (std::int64_t m = 0; m < M; ++m) {
      float sum = sum_of_lanes(sums[r][m]);
      for (std::int64_t k = i; k < in; ++k) sum += x[r * in + k] * w[m * in + k];
      out[r * stride + m] = sum + (bias != nullptr ? bias[m] : 0.0F);
    }
}

template <std::int64_t M>
BTM_WIDE_INLINE void multiply_rows(const float* x, std::int64_t rows, const float* w,
                                   std::int64_t in, const float* bias, float* out,
                                   std::int64_t stride) {
  std::int64_t row = 0;
  for (; row + kFactorRows <= rows; row += kFactorRows)
    multiply_tile<kFactorRows, M>(x + row * in, w, in, bias, out + row * stride, stride);
  for (; row < rows; ++row)
    multiply_tile<1, M>(x + row * in, w, in, bias, out + row * stride, stride);
}

/// Columns [first, last) of the product.
BTM_WIDE_CLONES
void multiply_columns(const float* x, std::int64_t rows, const float* w, std::int64_t in,
                      std::int64_t first, std::int64_t last, const float* bias, float* out,
                      std::int64_t stride) {
  const auto bias_at = [&](std::int64_t m) { return bias != nullptr ? bias + m : nullptr; };
  std::int64_t m = first;
  for (; m + kMatrixRows <= last; m += kMatrixRows)
    multiply_rows<kMatrixRows>(x, rows, w + m * in, in, bias_at(m), out + m, stride);
  for (; m < last; ++m) multiply_rows<1>(x, rows, w + m * in, in, bias_at(m), out + m, stride);
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
