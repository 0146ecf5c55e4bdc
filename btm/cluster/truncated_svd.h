// The leading right singular vectors of a sparse matrix (latent semantic analysis), by randomised
// subspace iteration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace btm {

/// n sparse rows over m columns.
struct SparseRows {
  std::vector<std::size_t> offsets{0};  ///< [n + 1] where each row's entries begin
  std::vector<std::uint32_t> columns;
  std::vector<float> values;
  std::size_t size() const noexcept { return offsets.size() - 1; }
};

struct TruncatedSvd {
  std::size_t rank = 0;  ///< At most the requested rank, less for a matrix of lower rank.
  std::vector<double> singular_values;  ///< [rank], falling
  std::vector<float> components;        ///< [m, rank] row-major: V
};

/// Halko, Martinsson and Tropp (2011), algorithms 4.4 and 5.1, with 10 extra vectors and 5
/// iterations as scikit-learn's TruncatedSVD has them. Exact to fp32 for a matrix of no more than
/// `rank` + 10 rows or columns. The same values give the same bytes.
TruncatedSvd truncated_svd(const SparseRows& x, std::size_t m, std::size_t rank,
                           std::uint64_t seed);

}  // namespace btm
