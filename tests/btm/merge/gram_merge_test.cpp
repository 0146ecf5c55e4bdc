#include "btm/merge/gram_merge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

using Vectors = std::vector<std::vector<float>>;

Gram gram_of(const Vectors& vectors, const std::vector<float>& base = {}) {
  std::vector<std::span<const float>> views(vectors.begin(), vectors.end());
  Gram gram(vectors.size());
  gram.add(views, base);
  return gram;
}

std::vector<double> sum_of(const Vectors& vectors, const std::vector<double>& factors) {
  std::vector<double> sum(vectors.front().size());
  for (std::size_t i = 0; i < vectors.size(); ++i)
    for (std::size_t e = 0; e < sum.size(); ++e) sum[e] += factors[i] * vectors[i][e];
  return sum;
}

const std::vector<double> kThird{1.0 / 3, 1.0 / 3, 1.0 / 3};

TEST(GramMerge, AddsProductsOfDifferencesToABase) {
  Gram gram = gram_of({{3, 5}, {2, 4}}, {2, 4});
  EXPECT_EQ(gram(0, 0), 2);
  EXPECT_EQ(gram(1, 0), 0);
  EXPECT_EQ(gram.norm(1), 0);
  EXPECT_EQ(gram.cosine(0, 1), 0);
  gram += gram_of({{1, 0}, {0, 2}});
  EXPECT_EQ(gram(0, 0), 3);
  EXPECT_EQ(gram(1, 1), 4);
}

TEST(GramMerge, NuslerpGoesAlongTheArc) {
  const Vectors axes{{2, 0}, {0, 2}};
  const auto half = sum_of(axes, nuslerp_factors(gram_of(axes), std::vector<double>{0.5, 0.5}));
  EXPECT_NEAR(half[0], std::numbers::sqrt2, 1e-12);
  EXPECT_NEAR(half[1], std::numbers::sqrt2, 1e-12);
  const auto third = nuslerp_factors(gram_of(axes), std::vector<double>{2.0 / 3, 1.0 / 3});
  EXPECT_NEAR(third[0], std::sqrt(3) / 2, 1e-12);
  EXPECT_NEAR(third[1], 0.5, 1e-12);
  const Vectors parallel{{1, 1}, {3, 3}};
  EXPECT_EQ(nuslerp_factors(gram_of(parallel), std::vector<double>{0.25, 0.75}),
            (std::vector<double>{0.25, 0.75}));
}

TEST(GramMerge, MultislerpHasTheMeanDirectionAndLength) {
  const Vectors vectors{{3, 0, 0}, {0, 1, 0}, {0, 0, 2}};
  const auto sum = sum_of(vectors, multislerp_factors(gram_of(vectors), kThird));
  for (const double value : sum) EXPECT_NEAR(value, 2 / std::sqrt(3), 1e-7);
  const Vectors apart{{1, 0}, {-1, 0}};
  EXPECT_EQ(multislerp_factors(gram_of(apart), std::vector<double>{0.5, 0.5}),
            (std::vector<double>{0.5, 0.5}));
  const Gram cross = gram_of({{1, 0}, {-1, 0}, {0, 1}, {0, -1}});
  btm_test::expect_error<std::runtime_error>(
      [&] { multislerp_factors(cross, std::vector<double>(4, 0.25)); }, "cancel");
  EXPECT_EQ(multislerp_factors(gram_of({{0}, {0}, {0}}), kThird), std::vector<double>(3, 0.0));
}

/// The Karcher mean is where the logarithms of all points sum to zero.
TEST(GramMerge, KarcherBalancesTheAngles) {
  const Vectors vectors{{2, 0, 0}, {0, 2, 0}, {0, 1.2F, 1.6F}};
  KarcherOptions options;
  options.max_iter = 200;
  options.tol = 1e-10;
  const auto mean = sum_of(vectors, karcher_factors(gram_of(vectors), options));
  double length = 0;
  for (const double value : mean) length += value * value;
  EXPECT_NEAR(std::sqrt(length), 2, 1e-6);
  std::vector<double> balance(3);
  for (const std::vector<float>& vector : vectors) {
    double cosine = 0;
    for (std::size_t e = 0; e < 3; ++e) cosine += mean[e] * vector[e] / 4;
    const double angle = std::acos(cosine);
    for (std::size_t e = 0; e < 3; ++e)
      balance[e] += angle / std::sin(angle) * (vector[e] / 2 - cosine * mean[e] / 2);
  }
  for (const double value : balance) EXPECT_NEAR(value, 0, 1e-6);
  const Vectors axes{{2, 0}, {0, 2}};
  const auto two = sum_of(axes, karcher_factors(gram_of(axes), {}));
  EXPECT_NEAR(two[0], std::numbers::sqrt2, 1e-9);
}

TEST(GramMerge, KarcherLeavesOutVectorsOfZeros) {
  const Vectors vectors{{0, 0}, {0, 4}};
  const auto mean = sum_of(vectors, karcher_factors(gram_of(vectors), {}));
  EXPECT_NEAR(mean[1], 2, 1e-9) << "the mean of the lengths 0 and 4";
  EXPECT_EQ(karcher_factors(gram_of({{0}, {0}}), {}), std::vector<double>(2, 0.0));
}

TEST(GramMerge, ModelStockFollowsTheAngles) {
  const auto factors_of = [](const Vectors& vectors) {
    return model_stock_factors(gram_of(vectors, {0, 0}));
  };
  EXPECT_NEAR(factors_of({{1, 0}, {0, 1}})[0], 0, 1e-12);
  EXPECT_NEAR(factors_of({{1, 0}, {1, 0}})[0], 0.5, 1e-12);
  const float half = 0.5F;
  const auto sixty = factors_of({{1, 0}, {half, static_cast<float>(std::sqrt(0.75))}});
  EXPECT_NEAR(sixty[0], (2 * 0.5 / 1.5) / 2, 1e-7);
  EXPECT_EQ(factors_of({{1, 0}, {-1, 0}})[0], 0) << "the base where the angles say nothing";
}

}  // namespace
}  // namespace btm
