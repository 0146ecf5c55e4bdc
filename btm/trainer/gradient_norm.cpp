#include "btm/trainer/gradient_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "btm/model/clones.h"

namespace btm {
namespace {

constexpr std::int64_t kNormBlock = 1 << 15;  ///< Elements whose squares are summed at once.

BTM_CLONES("avx2") double sum_of_squares(const float* x, std::int64_t count) {
  constexpr int kLanes = 16;  // independent sums, which can be vectorised
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace

double l2_norm(const at::Tensor& buffer) {
  if (!buffer.is_cpu())
    return at::linalg_vector_norm(buffer, 2, std::nullopt, false, at::kFloat).item<double>();
  if (buffer.scalar_type() != at::kFloat) return l2_norm(buffer.to(at::kFloat));
  const float* const x = buffer.const_data_ptr<float>();
  const std::int64_t blocks = (buffer.numel() + kNormBlock - 1) / kNormBlock;
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block)
      sums[static_cast<std::size_t>(block)] = sum_of_squares(
          x + block * kNormBlock, std::min(kNormBlock, buffer.numel() - block * kNormBlock));
  });
  double sum = 0;
  for (const double block : sums) sum += block;
  return std::sqrt(sum);
}

double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

}  // namespace btm
