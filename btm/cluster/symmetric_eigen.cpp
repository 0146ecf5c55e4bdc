#include "btm/cluster/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace btm {
namespace {

constexpr int kMostSweeps = 60;
constexpr double kRelativeZero = 1e-15;

/// Rotates rows and columns p and q so that a[p][q] becomes 0; the same rotation goes into the
/// columns of `vectors`.
void rotate(std::vector<double>& a, std::vector<double>& vectors, std::size_t n, std::size_t p,
            std::size_t q) {
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
  const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
  const double c = 1 / std::sqrt(t * t + 1), s = t * c;
  for (std::size_t i = 0; i < n; ++i) {
    const double ip = a[i * n + p], iq = a[i * n + q];
    a[i * n + p] = c * ip - s * iq;
    a[i * n + q] = s * ip + c * iq;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double pi = a[p * n + i], qi = a[q * n + i];
    a[p * n + i] = c * pi - s * qi;
    a[q * n + i] = s * pi + c * qi;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double ip = vectors[i * n + p], iq = vectors[i * n + q];
    vectors[i * n + p] = c * ip - s * iq;
    vectors[i * n + q] = s * ip + c * iq;
  }
}

}  // namespace

SymmetricEigen symmetric_eigen(std::vector<double> a, std::size_t n) {
  std::vector<double> vectors(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  double scale = 0;
  for (const double value : a) scale = std::max(scale, std::abs(value));
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    bool rotated = false;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q)
        if (std::abs(a[p * n + q]) > kRelativeZero * scale) {
          rotate(a, vectors, n, p, q);
          rotated = true;
        }
    if (!rotated) break;
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, std::greater<>{}, [&](std::size_t i) { return a[i * n + i]; });
  SymmetricEigen eigen{std::vector<double>(n), std::vector<double>(n * n)};
  for (std::size_t j = 0; j < n; ++j) {
    eigen.values[j] = a[order[j] * n + order[j]];
    for (std::size_t i = 0; i < n; ++i) eigen.vectors[i * n + j] = vectors[i * n + order[j]];
  }
  return eigen;
}

}  // namespace btm
