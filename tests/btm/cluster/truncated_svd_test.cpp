#include "btm/cluster/truncated_svd.h"

#include <gtest/gtest.h>

#include <cmath>
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

TEST(TruncatedSvd, AgreesWithTheEigenvaluesOfTheWholeGramMatrix) {
  constexpr std::size_t kRows = 60, kColumns = 30, kRank = 5;
  std::mt19937_64 random(2);
  std::vector<std::vector<float>> dense(kRows, std::vector<float>(kColumns, 0.0F));
  for (auto& row : dense)
    for (std::size_t c = 0; c < kColumns; ++c)
      if (random() % 3 == 0)
        row[c] = static_cast<float>(random() % 100) /
                 static_cast<float>(10 + 5 * c);  // falling spectrum
  std::vector<double> gram(kColumns * kColumns, 0.0);
  for (const auto& row : dense)
    for (std::size_t i = 0; i < kColumns; ++i)
      for (std::size_t j = 0; j < kColumns; ++j)
        gram[i * kColumns + j] += static_cast<double>(row[i]) * row[j];
  const SymmetricEigen exact = symmetric_eigen(gram, kColumns);
  const TruncatedSvd svd = truncated_svd(sparse(dense), kColumns, kRank, 7);
  ASSERT_EQ(svd.rank, kRank);
  for (std::size_t j = 0; j < kRank; ++j) {
    EXPECT_NEAR(svd.singular_values[j] / std::sqrt(exact.values[j]), 1, 1e-4)
        << j;  // fp32 products
    double dot = 0;
    for (std::size_t i = 0; i < kColumns; ++i)
      dot += svd.components[i * kRank + j] * exact.vectors[i * kColumns + j];
    EXPECT_NEAR(std::abs(dot), 1, 1e-3) << j;
  }
}

TEST(TruncatedSvd, HasNoMoreDimensionsThanTheMatrix) {
  EXPECT_EQ(truncated_svd(sparse({{1, 2}, {2, 4}, {3, 6}}), 2, 5, 1).rank, 1U);
  EXPECT_EQ(truncated_svd(SparseRows{}, 4, 5, 1).rank, 0U);
}

}  // namespace
}  // namespace btm
