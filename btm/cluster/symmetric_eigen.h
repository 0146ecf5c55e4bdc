// Eigenvalues and eigenvectors of small symmetric matrices.
#pragma once

#include <cstddef>
#include <vector>

namespace btm {

struct SymmetricEigen {
  std::vector<double> values;   ///< [n], falling
  std::vector<double> vectors;  ///< [n, n] row-major: column j belongs to values[j]
};

/// Of a row-major [n, n] matrix, by Jacobi's rotations.
SymmetricEigen symmetric_eigen(std::vector<double> matrix, std::size_t n);

}  // namespace btm
