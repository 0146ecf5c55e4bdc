#include "btm/merge/merge_methods.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace {

using btm::Models;
using Values = std::vector<float>;

std::vector<std::span<const float>> spans(const std::vector<Values>& models) {
  return {models.begin(), models.end()};
}

std::vector<Values> random_models(std::size_t models, std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Values> out(models, Values(size));
  for (Values& values : out)
    for (float& value : values) value = normal(random);
  return out;
}

TEST(LinearSum, AddsProductsFromTheFirstModelOnInSinglePrecision) {
  const std::vector<Values> models = random_models(3, 5000, 1);
  const Values weights{0.1f, 0.7f, 0.2f};
  Values out(5000);
  btm::linear_sum(spans(models), weights, out);
  for (std::size_t j = 0; j < out.size(); ++j) {
    volatile float sum = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      volatile float product = weights[i] * models[i][j];
      sum = sum + product;
    }
    ASSERT_EQ(out[j], sum) << j;
  }
}

TEST(SlerpFactors, StayOnTheCircleBetweenUnitVectors) {
  // 90 degrees apart: sin(45)/sin(90) of each; the result has length one.
  const auto [a, b] = btm::slerp_factors({.ab = 0, .aa = 1, .bb = 1}, 0.5);
  EXPECT_NEAR(a, std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(b, std::sqrt(0.5), 1e-12);
}

TEST(SlerpFactors, FollowTheFormulaAtAnyAngle) {
  for (const double theta : {0.3, 1.0, 2.5})
    for (const double t : {0.0, 0.25, 0.8, 1.0}) {
      const auto [a, b] = btm::slerp_factors({.ab = 6 * std::cos(theta), .aa = 4, .bb = 9}, t);
      EXPECT_NEAR(a, std::sin((1 - t) * theta) / std::sin(theta), 1e-9);
      EXPECT_NEAR(b, std::sin(t * theta) / std::sin(theta), 1e-9);
    }
}

TEST(SlerpFactors, AreLinearBetweenParallelAndZeroVectors) {
  EXPECT_EQ(btm::slerp_factors({.ab = 2, .aa = 1, .bb = 4}, 0.3), (std::pair{0.7, 0.3}));
  EXPECT_EQ(btm::slerp_factors({.ab = -2, .aa = 1, .bb = 4}, 0.3), (std::pair{0.7, 0.3}));
  EXPECT_EQ(btm::slerp_factors({.ab = 0, .aa = 0, .bb = 4}, 0.3), (std::pair{0.7, 0.3}));
}

TEST(InnerProducts, AreSumsOfProducts) {
  const Values a{1, 2, 3}, b{-1, 0.5f, 4};
  const btm::InnerProducts products = btm::inner_products(a, b);
  EXPECT_DOUBLE_EQ(products.ab, 12);
  EXPECT_DOUBLE_EQ(products.aa, 14);
  EXPECT_DOUBLE_EQ(products.bb, 17.25);
}

TEST(AddTaskVectors, AddsTheScaledSumOfDifferences) {
  const Values base{1, 1}, out_expected{1 + 0.5f * (2 * 1 + 1 * -2), 1 + 0.5f * (2 * 0 + 1 * 3)};
  Values out(2);
  btm::add_task_vectors(base, spans({{2, 1}, {-1, 4}}), Values{2, 1}, 0.5f, out);
  EXPECT_EQ(out, out_expected);
}

TEST(AddTaskVectors, SubtractsATaskOfNegativeWeight) {
  Values out(1);
  btm::add_task_vectors(Values{10}, spans({{13}}), Values{-1}, 1, out);  // task negation
  EXPECT_EQ(out[0], 7);
}

TEST(AddElectedTaskVectors, TrimsElectsAndAverages) {
  // The figure in the paper: three task vectors for each of four elements. They agree, one is
  // outvoted, two are trimmed, and all are trimmed.
  const Values base{0, 0, 0, 5};
  const std::vector<Values> models{{1, -4, 2, 5.01f}, {2, 1, 0.1f, 5}, {3, 2, 0.2f, 5}};
  Values out(4);
  btm::add_elected_task_vectors(base, spans(models), Values{1, 1, 1}, 1, Values{0.5f, 0.5f, 0.5f},
                                out);
  EXPECT_FLOAT_EQ(out[0], 2);   // the mean of all
  EXPECT_FLOAT_EQ(out[1], -4);  // -4 outweighs 1 + 2
  EXPECT_FLOAT_EQ(out[2], 2);   // trimmed ones do not count in the mean
  EXPECT_FLOAT_EQ(out[3], 5);
}

TEST(AddElectedTaskVectors, WeighsTheVoteAndTheMean) {
  const Values base{0};
  Values out(1);
  btm::add_elected_task_vectors(base, spans({{-4}, {1}, {3}}), Values{0.25f, 1, 3}, 2,
                                Values{0, 0, 0}, out);
  EXPECT_FLOAT_EQ(out[0], 2 * (1 * 1 + 3 * 3) / 4.0f);
}

TEST(MagnitudeRank, FindsTheKthLargestMagnitudeExactly) {
  const std::vector<Values> values = random_models(1, 10000, 3);
  std::vector<float> magnitudes;
  for (const float value : values[0]) magnitudes.push_back(std::abs(value));
  std::ranges::sort(magnitudes, std::greater{});
  for (const std::size_t keep : {1, 2, 2000, 9999, 10000}) {
    btm::MagnitudeRank rank;
    rank.count_upper(values[0]);
    rank.choose(keep);
    rank.count_lower(values[0]);
    EXPECT_EQ(rank.threshold(), magnitudes[keep - 1]) << keep;
  }
}

TEST(MagnitudeRank, CountsWhatIsLargerAndWhatIsEqual) {
  const Values values{3, -1, 2, -2, 2, 0, 0};
  btm::MagnitudeRank rank;
  rank.count_upper(values);
  rank.choose(3);
  rank.count_lower(values);
  EXPECT_EQ(rank.found().value, 2);
  EXPECT_EQ(rank.found().above, 1U);
  EXPECT_EQ(rank.found().equal, 3U);
}

TEST(MagnitudeRank, NoticesWhatIsNotFinite) {
  for (const float value : {INFINITY, NAN}) {
    btm::MagnitudeRank rank;
    rank.count_upper(Values{1, 2});
    EXPECT_TRUE(rank.all_finite());
    rank.count_upper(Values{value});
    EXPECT_FALSE(rank.all_finite());
  }
}

TEST(AddDroppedTaskVectors, KeepsAShareAndRescalesIt) {
  constexpr std::size_t kSize = 200000;
  constexpr double kDensity = 0.1;
  const Values base(kSize, 1.0f);
  const std::vector<Values> models{Values(kSize, 3.0f)};
  const std::vector<btm::DareMask> masks{btm::dare_mask(1, 0, "decoder.x")};
  Values out(kSize);
  btm::add_dropped_task_vectors(base, spans(models), Values{1}, 1, kDensity, masks, 0, out);
  std::size_t kept = 0;
  for (const float value : out) {
    ASSERT_TRUE(value == 1.0f || std::abs(value - 21.0f) < 1e-4f)
        << value;  // dropped, or 2 / 0.1 added
    kept += value != 1.0f;
  }
  // Within 5 standard deviations of the binomial distribution. The mean of the task vector is kept,
  // as in the paper.
  EXPECT_NEAR(static_cast<double>(kept), kSize * kDensity,
              5 * std::sqrt(kSize * kDensity * (1 - kDensity)));
}

TEST(DareMask, DependsOnSeedModelTensorAndElementOnly) {
  const auto pattern = [](const btm::DareMask& mask) {
    std::vector<bool> kept;
    for (std::uint64_t element = 0; element < 256; ++element)
      kept.push_back(mask.keeps(element, 0.5));
    return kept;
  };
  const auto reference = pattern(btm::dare_mask(1, 0, "a"));
  EXPECT_EQ(reference, pattern(btm::dare_mask(1, 0, "a")));
  EXPECT_NE(reference, pattern(btm::dare_mask(2, 0, "a")));
  EXPECT_NE(reference, pattern(btm::dare_mask(1, 1, "a")));
  EXPECT_NE(reference, pattern(btm::dare_mask(1, 0, "b")));
}

}  // namespace
