#include "btm/cluster/truncated_svd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "btm/cluster/symmetric_eigen.h"

namespace btm {
namespace {

SparseRows sparse(const std::vector<std::vector<float>>& dense) {
  SparseRows rows;
  for (const auto& row : dense) {
    for (std::uint32_t column = 0; column < row.size(); ++column)
      if (row[column] != 0) {
        rows.columns.push_back(column);
        rows.values.push_back(row[column]);
      }
    rows.offsets.push_back(rows.values.size());
  }
  return rows;
}

TEST(SymmetricEigen, SolvesAMatrixDoneByHand) {
  const SymmetricEigen eigen = symmetric_eigen({2, 1, 1, 2}, 2);
  EXPECT_NEAR(eigen.values[0], 3, 1e-12);
  EXPECT_NEAR(eigen.values[1], 1, 1e-12);
  EXPECT_NEAR(std::abs(eigen.vectors[0]), std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(eigen.vectors[0], eigen.vectors[2], 1e-12);  // (1, 1) belongs to 3
}

TEST(TruncatedSvd, GivesTheSingularValuesOfAMatrixDoneByHand) {
  const TruncatedSvd svd = truncated_svd(sparse({{3, 0, 0}, {0, 0, 2}, {0, 1, 0}}), 3, 2, 1);
  ASSERT_EQ(svd.rank, 2U);
  EXPECT_NEAR(svd.singular_values[0], 3, 1e-5);
  EXPECT_NEAR(svd.singular_values[1], 2, 1e-5);
  EXPECT_NEAR(std::abs(svd.components[0]), 1, 1e-5);          // row 0 of V, first component
  EXPECT_NEAR(std::abs(svd.components[2 * 2 + 1]), 1, 1e-5);  // row 2 of V, second component
}

/// A matrix whose singular values fall, of more rows and columns than vectors are looked for.
std::vector<std::vector<float>> falling_matrix(std::size_t rows, std::size_t columns) {
  std::mt19937_64 random(2);
  std::vector<std::vector<float>> dense(rows, std::vector<float>(columns, 0.0F));
  for (auto& row : dense)
    for (std::size_t c = 0; c < columns; ++c)
      if (random() % 3 == 0)
        row[c] = static_cast<float>(random() % 100) / static_cast<float>(10 + 5 * c);
  return dense;
}

/// X^T X v
std::vector<double> gram_times(const std::vector<std::vector<float>>& x,
                               const std::vector<double>& v) {
  std::vector<double> product(v.size(), 0.0);
  for (const auto& row : x) {
    double dot = 0;
    for (std::size_t c = 0; c < v.size(); ++c) dot += static_cast<double>(row[c]) * v[c];
    for (std::size_t c = 0; c < v.size(); ++c) product[c] += row[c] * dot;
  }
  return product;
}

TEST(TruncatedSvd, GivesOrthonormalEigenvectorsOfTheGramMatrix) {
  constexpr std::size_t kRows = 60, kColumns = 30, kRank = 5;
  const auto dense = falling_matrix(kRows, kColumns);
  const TruncatedSvd svd = truncated_svd(sparse(dense), kColumns, kRank, 7);
  ASSERT_EQ(svd.rank, kRank);
  std::vector<std::vector<double>> vectors(kRank, std::vector<double>(kColumns));
  for (std::size_t j = 0; j < kRank; ++j)
    for (std::size_t c = 0; c < kColumns; ++c) vectors[j][c] = svd.components[c * kRank + j];
  for (std::size_t j = 0; j < kRank; ++j) {
    const double square = svd.singular_values[j] * svd.singular_values[j];
    const std::vector<double> product = gram_times(dense, vectors[j]);
    for (std::size_t c = 0; c < kColumns; ++c)
      EXPECT_NEAR(product[c] / square, vectors[j][c], 1e-3) << j << " " << c;
    for (std::size_t i = 0; i <= j; ++i)
      EXPECT_NEAR(std::inner_product(vectors[i].begin(), vectors[i].end(), vectors[j].begin(), 0.0),
                  i == j ? 1 : 0, 1e-5)
          << i << " " << j;
  }
}

// The largest eigenvalues, not any: power iteration finds none above the first, and none above the
// next among what is orthogonal to those before.
TEST(TruncatedSvd, FindsTheLargestSingularValues) {
  constexpr std::size_t kColumns = 30, kRank = 5;
  const auto dense = falling_matrix(60, kColumns);
  const TruncatedSvd svd = truncated_svd(sparse(dense), kColumns, kRank, 7);
  std::vector<std::vector<double>> found;
  for (std::size_t j = 0; j < kRank; ++j) {
    std::vector<double> v(kColumns, 1.0);
    double value = 0;
    for (int step = 0; step < 500; ++step) {
      for (const auto& before : found) {
        const double dot = std::inner_product(v.begin(), v.end(), before.begin(), 0.0);
        for (std::size_t c = 0; c < kColumns; ++c) v[c] -= dot * before[c];
      }
      const double norm = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
      for (double& entry : v) entry /= norm;
      const std::vector<double> next = gram_times(dense, v);
      value = std::inner_product(v.begin(), v.end(), next.begin(), 0.0);
      if (step + 1 < 500) v = next;
    }
    found.push_back(v);
    EXPECT_NEAR(svd.singular_values[j] / std::sqrt(value), 1, 1e-4) << j;  // fp32 products
  }
}

TEST(TruncatedSvd, HasNoMoreDimensionsThanTheMatrix) {
  EXPECT_EQ(truncated_svd(sparse({{1, 2}, {2, 4}, {3, 6}}), 2, 5, 1).rank, 1U);
  EXPECT_EQ(truncated_svd(sparse({{0, 0}, {0, 0}, {0, 0}}), 2, 5, 1).rank, 0U);
  EXPECT_EQ(truncated_svd(SparseRows{}, 4, 5, 1).rank, 0U);
  EXPECT_EQ(truncated_svd(sparse({{1, 2}}), 2, 0, 1).rank, 0U);
}

// Random signs span less than so small a matrix does for half of the seeds.
TEST(TruncatedSvd, LosesNoDimensionOfASmallMatrix) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(truncated_svd(sparse({{1, 1}}), 2, 3, seed).rank, 1U) << seed;
    const TruncatedSvd wide = truncated_svd(sparse({{4, 0, 0}, {0, 3, 0}}), 3, 3, seed);
    const TruncatedSvd tall = truncated_svd(sparse({{4, 0}, {0, 3}, {0, 0}}), 2, 3, seed);
    for (const TruncatedSvd& svd : {wide, tall}) {
      ASSERT_EQ(svd.rank, 2U) << seed;
      EXPECT_NEAR(svd.singular_values[0], 4, 1e-5) << seed;
      EXPECT_NEAR(svd.singular_values[1], 3, 1e-5) << seed;
    }
  }
}

TEST(TruncatedSvd, GivesTheSameBytesAgain) {
  const SparseRows x = sparse(falling_matrix(60, 30));
  const TruncatedSvd first = truncated_svd(x, 30, 5, 7), second = truncated_svd(x, 30, 5, 7);
  EXPECT_EQ(first.components, second.components);
  EXPECT_EQ(first.singular_values, second.singular_values);
  EXPECT_NE(truncated_svd(x, 30, 5, 8).components, first.components);
}

}  // namespace
}  // namespace btm
