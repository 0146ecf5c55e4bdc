#include "btm/model/head.h"

#include <ATen/Context.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace btm {
namespace {

/// The same values, computed from all logits at once.
at::Tensor all_at_once(const at::Tensor& features, const at::Tensor& weight,
                       const at::Tensor& targets) {
  return at::log_softmax(at::linear(features, weight), -1, at::kFloat)
      .gather(1, targets.unsqueeze(1))
      .squeeze(1);
}

at::Tensor scores_of(const at::Tensor& features, const at::Tensor& weight,
                     const at::Tensor& targets, std::int64_t rows_at_once) {
  return Head({weight, {}}).target_log_probs(features, targets, rows_at_once);
}

TEST(Head, EqualsAllLogitsAtOnce) {
  struct Case {
    std::int64_t tokens, vocabulary, rows_at_once;
  };
  // Tiles have 1024 tokens and 2048 types. The sizes are below, at and above those.
  for (const auto& [tokens, vocabulary, rows] :
       {Case{3, 60, 1000}, Case{1, 2048, 1}, Case{1030, 4100, 4096}, Case{50, 2049, 7}}) {
    at::manual_seed(5);
    const at::Tensor features = at::randn({tokens, 24}), weight = at::randn({vocabulary, 24});
    const at::Tensor targets = at::randint(vocabulary, {tokens}, at::kLong);
    const at::Tensor scores = scores_of(features, weight, targets, rows);
    ASSERT_EQ(scores.sizes(), targets.sizes());
    // The fp32 products and sums have another order.
    EXPECT_LT((scores - all_at_once(features, weight, targets)).abs().max().item<double>(), 2e-5)
        << tokens << " x " << vocabulary;
  }
}

TEST(Head, TakesHalfPrecision) {
  at::manual_seed(5);
  const at::Tensor features = at::randn({20, 24}).to(at::kBFloat16),
                   weight = at::randn({300, 24}).to(at::kBFloat16);
  const at::Tensor targets = at::randint(300, {20}, at::kLong);
  const at::Tensor scores = scores_of(features, weight, targets, 6);
  EXPECT_EQ(scores.scalar_type(), at::kFloat);
  // In bfloat16, logits near 10 are multiples of 1/16, and the products of slices can round
  // differently.
  EXPECT_LT((scores - all_at_once(features, weight, targets)).abs().max().item<double>(), 0.13);
}

TEST(Head, TakesAPackedMatrix) {
  at::manual_seed(5);
  const at::Tensor features = at::randn({1030, 24}), weight = at::randn({4100, 24});
  const at::Tensor targets = at::randint(4100, {1030}, at::kLong);
  const at::Tensor expected = all_at_once(features, weight, targets);
  // logits of about 5 with factors rounded to 2^-9, and to 2^-17
  for (const auto& [products, tolerance] :
       {std::pair{Products::kBf16, 0.15}, std::pair{Products::kBf16x3, 1e-3}}) {
    const Head head({{}, {}, std::make_shared<const PackedMatrix>(weight, products)});
    const at::Tensor scores = head.target_log_probs(features, targets, 4096);
    EXPECT_LT((scores - expected).abs().max().item<double>(), tolerance);
  }
}

TEST(Head, MultipliesAWeightInBf16AsThePackedOne) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor multiplies in fp32";
  at::manual_seed(6);
  const at::Tensor features = at::randn({1030, 25}), weight = at::randn({4100, 25});
  const at::Tensor targets = at::randint(4100, {1030}, at::kLong);
  const Linear packed{{}, {}, std::make_shared<const PackedMatrix>(weight, Products::kBf16)};
  const Linear unpacked{weight, {}, {}, Products::kBf16};
  EXPECT_TRUE(Head(unpacked)
                  .target_log_probs(features, targets, 4096)
                  .equal(Head(packed).target_log_probs(features, targets, 4096)));
}

TEST(Head, TakesAWeightAsItIsStored) {
  at::manual_seed(5);
  const at::Tensor features = at::randn({20, 24}), targets = at::randint(3000, {20}, at::kLong);
  for (const at::ScalarType stored : {at::kHalf, at::kBFloat16}) {
    const at::Tensor weight = at::randn({3000, 24}).to(stored);
    EXPECT_TRUE(scores_of(features, weight, targets, 6)
                    .equal(scores_of(features, weight.to(at::kFloat), targets, 6)))
        << stored;
  }
}

/// What a GPU computes, here on a CPU: LibTorch multiplies, a few rows at once.
TEST(Head, ScoresAMatrixWhereItIsAsByTiles) {
  at::manual_seed(8);
  const at::Tensor features = at::randn({11, 24}), weight = at::randn({300, 24});
  const std::vector<Head::Target> targets{{0, 5}, {2, 0}, {2, 299}, {3, 7}, {10, 100}};
  const Head::Scores expected = Head({weight, {}}).scores(features, targets);
  for (const std::int64_t rows : {1, 4, 11, 100}) {
    const Head::Scores found = scores_of_matrix(weight, features, targets, rows);
    ASSERT_EQ(found.logits.size(), targets.size());
    // fp32 sums in another order
    for (std::size_t i = 0; i < targets.size(); ++i)
      EXPECT_NEAR(found.logits[i], expected.logits[i], 2e-5);
    for (std::size_t row = 0; row < 11; ++row)
      EXPECT_NEAR(found.log_sums[row], expected.log_sums[row], 2e-5);
  }
}

TEST(Head, OfNoTokensIsEmpty) {
  const at::Tensor none = at::randn({0, 24});
  EXPECT_EQ(scores_of(none, at::randn({30, 24}), at::randint(30, {0}, at::kLong), 10).numel(), 0);
}

}  // namespace
}  // namespace btm
