#include "btm/model/gathered_attention.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>

namespace btm {
namespace {

constexpr KeyValuePool::Shape kShape{2, 3, 8, 70 * KeyValuePool::kBlock};

KeyValuePool pool_of_tensors() {
  return KeyValuePool(kShape, std::make_unique<TensorBlocks>(kShape, at::TensorOptions()));
}

/// Does the same with two pools: one that holds its blocks, and one whose blocks are tensors.
class Both {
 public:
  KeyValuePool::Row open() {
    const auto row = one_.open(0).value();
    EXPECT_EQ(other_.open(0).value(), row);
    return row;
  }
  KeyValuePool::Row fork(KeyValuePool::Row row) {
    const auto copy = one_.fork(row);
    EXPECT_EQ(other_.fork(row), copy);
    return copy;
  }
  void close(KeyValuePool::Row row) { one_.close(row), other_.close(row); }

  /// The largest difference of a step's results in both layers. `counts` are {row, new tokens}.
  double difference(std::vector<std::pair<KeyValuePool::Row, std::int64_t>> counts) {
    std::vector<CachedToken> tokens;
    for (const auto& [row, count] : counts) {
      for (std::int64_t n = 0; n < count; ++n) tokens.push_back({row, one_.length(row) + n});
      EXPECT_TRUE(one_.extend(row, count) && other_.extend(row, count));
    }
    GatheredAttention gathered(other_, dynamic_cast<TensorBlocks&>(*other_.elsewhere()), tokens);
    double largest = 0;
    for (std::int64_t layer = 0; layer < kShape.layers; ++layer) {
      const auto n = static_cast<std::int64_t>(tokens.size());
      const at::Tensor q = at::randn({n, 24}), k = at::randn({n, 24}), v = at::randn({n, 24});
      store_keys_and_values(one_, layer, tokens, k.const_data_ptr<float>(),
                            v.const_data_ptr<float>());
      at::Tensor expected = at::empty_like(q);
      attend(one_, layer, tokens, q.const_data_ptr<float>(), expected.mutable_data_ptr<float>());
      const double most = (gathered(layer, q, k, v) - expected).abs().max().item<double>();
      largest = most <= largest ? largest : most;  // NaN, too
    }
    return largest;
  }

  /// Makes all memory NaN, as memory that was never written may be.
  void spoil() {
    const auto& blocks = dynamic_cast<TensorBlocks&>(*other_.elsewhere());
    for (std::int64_t layer = 0; layer < kShape.layers; ++layer) {
      blocks.keys(layer).fill_(std::numeric_limits<float>::quiet_NaN());
      blocks.values(layer).fill_(std::numeric_limits<float>::quiet_NaN());
    }
  }

 private:
  KeyValuePool one_{kShape}, other_ = pool_of_tensors();
};

// fp32 sums in another order
constexpr double kTolerance = 1e-5;

TEST(GatheredAttention, EqualsTheKernelForPromptsAndSingleTokens) {
  at::manual_seed(3);
  Both both;
  both.spoil();
  const auto a = both.open(), b = both.open(), c = both.open();
  EXPECT_LT(both.difference({{a, 1}, {b, 17}, {c, 40}}), kTolerance);
  EXPECT_LT(both.difference({{a, 1}, {b, 1}, {c, 1}}), kTolerance);
  EXPECT_LT(both.difference({{c, 3}, {a, 16}, {b, 3}}), kTolerance);
}

TEST(GatheredAttention, CopiesABlockBeforeAForkWritesIt) {
  at::manual_seed(4);
  Both both;
  const auto a = both.open();
  EXPECT_LT(both.difference({{a, 20}}), kTolerance);
  const auto b = both.fork(a);
  EXPECT_LT(both.difference({{b, 2}, {a, 1}}), kTolerance);
  both.close(a);
  const auto c = both.open();  // takes the blocks that were given back
  EXPECT_LT(both.difference({{c, 30}, {b, 1}}), kTolerance);
}

TEST(GatheredAttention, GrowsPastTheFirstBlocks) {
  at::manual_seed(5);
  Both both;
  const auto a = both.open();
  EXPECT_LT(both.difference({{a, 63 * KeyValuePool::kBlock}}), kTolerance);
  const auto b = both.open();
  EXPECT_LT(both.difference({{b, 3 * KeyValuePool::kBlock}}), kTolerance);
  EXPECT_LT(both.difference({{a, 1}, {b, 1}}), kTolerance);
}

}  // namespace
}  // namespace btm
