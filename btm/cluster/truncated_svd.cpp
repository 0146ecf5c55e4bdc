#include "btm/cluster/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "btm/cluster/symmetric_eigen.h"

namespace btm {
namespace {

constexpr std::size_t kExtraVectors = 10;
constexpr int kIterations = 5;
constexpr double kNegligible =
    1e-10;  ///< Eigenvalues below this share of the largest are rounding of fp32.

/// [rows, width] row-major.
struct Dense {
  std::size_t rows = 0, width = 0;
  std::vector<float> values;
  Dense(std::size_t rows_, std::size_t width_)
      : rows(rows_), width(width_), values(rows_ * width_) {}
  float* row(std::size_t i) { return values.data() + i * width; }
  const float* row(std::size_t i) const { return values.data() + i * width; }
};

void add_scaled(float* to, const float* from, float factor, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

/// X A
Dense times(const SparseRows& x, const Dense& a) {
  Dense y(x.size(), a.width);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t k = x.offsets[i]; k < x.offsets[i + 1]; ++k)
      add_scaled(y.row(i), a.row(x.columns[k]), x.values[k], a.width);
  return y;
}

/// X^T A
Dense transposed_times(const SparseRows& x, const Dense& a, std::size_t m) {
  Dense y(m, a.width);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t k = x.offsets[i]; k < x.offsets[i + 1]; ++k)
      add_scaled(y.row(x.columns[k]), a.row(i), x.values[k], a.width);
  return y;
}

/// Eigenvectors of A^T A.
SymmetricEigen gram_eigen(const Dense& a) {
  const std::size_t width = a.width;
  std::vector<double> gram(width * width, 0.0);
  for (std::size_t r = 0; r < a.rows; ++r) {
    const float* const row = a.row(r);
    for (std::size_t i = 0; i < width; ++i) {
      const double value = row[i];
      if (value == 0) continue;
      for (std::size_t j = i; j < width; ++j) gram[i * width + j] += value * row[j];
    }
  }
  for (std::size_t i = 0; i < width; ++i)
    for (std::size_t j = 0; j < i; ++j) gram[i * width + j] = gram[j * width + i];
  return symmetric_eigen(std::move(gram), width);
}

/// A turned and scaled so that its columns are orthonormal: A U / sigma for the first `most`
/// singular values that count.
Dense whitened(const Dense& a, const SymmetricEigen& eigen, std::size_t most) {
  std::size_t width = 0;
  while (width < std::min(most, a.width) && eigen.values[width] > kNegligible * eigen.values[0])
    ++width;
  std::vector<float> turn(a.width * width);
  for (std::size_t i = 0; i < a.width; ++i)
    for (std::size_t j = 0; j < width; ++j)
      turn[i * width + j] =
          static_cast<float>(eigen.vectors[i * a.width + j] / std::sqrt(eigen.values[j]));
  Dense y(a.rows, width);
  for (std::size_t r = 0; r < a.rows; ++r)
    for (std::size_t i = 0; i < a.width; ++i)
      add_scaled(y.row(r), turn.data() + i * width, a.row(r)[i], width);
  return y;
}

Dense orthonormal(const Dense& a) { return whitened(a, gram_eigen(a), a.width); }

Dense identity(std::size_t size) {
  Dense y(size, size);
  for (std::size_t i = 0; i < size; ++i) y.row(i)[i] = 1;
  return y;
}

/// Orthonormal columns that span nearly all that X does; for a small X, whose random combinations
/// could miss a part of it, exactly that.
Dense range_of(const SparseRows& x, std::size_t m, std::size_t width, std::uint64_t seed) {
  if (x.size() <= width) return identity(x.size());
  if (m <= width) return orthonormal(times(x, identity(m)));
  Dense start(m, width);
  std::mt19937_64 random(seed);
  for (float& value : start.values) value = (random() & 1) != 0 ? 1.0F : -1.0F;
  Dense range = orthonormal(times(x, start));
  for (int i = 0; i < kIterations; ++i)
    range = orthonormal(times(x, orthonormal(transposed_times(x, range, m))));
  return range;
}

}  // namespace

TruncatedSvd truncated_svd(const SparseRows& x, std::size_t m, std::size_t rank,
                           std::uint64_t seed) {
  TruncatedSvd svd;
  if (x.size() == 0 || m == 0 || rank == 0) return svd;
  // Once more: the last step is only as orthonormal as fp32 of an ill-conditioned matrix.
  const Dense range = orthonormal(range_of(x, m, rank + kExtraVectors, seed));
  const Dense projected = transposed_times(x, range, m);
  const SymmetricEigen eigen = gram_eigen(projected);
  Dense components = whitened(projected, eigen, rank);
  svd.rank = components.width;
  for (std::size_t j = 0; j < svd.rank; ++j)
    svd.singular_values.push_back(std::sqrt(eigen.values[j]));
  svd.components = std::move(components.values);
  return svd;
}

}  // namespace btm
