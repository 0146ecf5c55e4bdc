#include "btm/model/packed_matrix.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace btm {
namespace {

/// Both ways of computing, or only the one where the processor has no other.
std::vector<bool> ways() {
  return has_fast_bf16() ? std::vector<bool>{true, false} : std::vector<bool>{false};
}

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }

TEST(PackedMatrix, NamesTheCodeThatComputes) {
  EXPECT_EQ(products_name(Products::kFp32, true), "exact fp32");
  EXPECT_EQ(products_name(Products::kBf16, true), "bf16 factors and fp32 sums, avx512_bf16 kernel");
  EXPECT_EQ(products_name(Products::kBf16, false), "bf16 factors and fp32 sums, emulated in fp32");
  EXPECT_EQ(products_name(Products::kBf16x3, true), "bf16x3, avx512_bf16 kernel");
  EXPECT_EQ(products_name(Products::kBf16x3, false), "bf16x3, computed in exact fp32");
}

TEST(PackedMatrix, IsExactWhereBf16Is) {
  struct Case {
    std::int64_t rows, in, out;
  };
  // Below, at and beyond blocks of 64 columns, pairs of inputs, kernels of 128 rows, groups of 512.
  for (const auto& [rows, in, out] : {Case{1, 1, 1}, Case{3, 5, 63}, Case{130, 6, 64},
                                      Case{129, 33, 65}, Case{600, 20, 130}, Case{1025, 4, 7}}) {
    at::manual_seed(1);
    const at::Tensor weight = at::randint(-8, 9, {out, in}).to(at::kFloat),
                     bias = at::randint(-8, 9, {out}).to(at::kFloat),
                     x = at::randint(-8, 9, {rows, in}).to(at::kFloat);
    for (const Products products : {Products::kBf16, Products::kBf16x3})
      for (const bool fast : ways()) {
        const PackedMatrix packed(weight, products, fast);
        EXPECT_TRUE(packed.apply(x, bias).equal(at::linear(x, weight, bias)))
            << rows << " x " << in << " by " << out << (fast ? ", fast" : "");
        EXPECT_TRUE(packed.apply(x, {}).equal(at::linear(x, weight)));
      }
  }
}

TEST(PackedMatrix, ErrsAsItsFactorsDo) {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({200, 96}), bias = at::randn({200}), x = at::randn({70, 96});
  const at::Tensor exact =
      at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
  for (const bool fast : ways()) {
    // 96 products of about 1 err by 2^-8 each at most; hi + lo errs by 2^-16.
    EXPECT_LT(largest(PackedMatrix(weight, Products::kBf16, fast).apply(x, bias) - exact), 0.2);
    EXPECT_LT(largest(PackedMatrix(weight, Products::kBf16x3, fast).apply(x, bias) - exact), 4e-4);
  }
}

TEST(PackedMatrix, GivesARowTheSameBitsWhateverIsBesideIt) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor multiplies in fp32";
  at::manual_seed(3);
  const at::Tensor weight = at::randn({130, 70}), bias = at::randn({130}), x = at::randn({700, 70});
  for (const Products products : {Products::kBf16, Products::kBf16x3}) {
    const PackedMatrix packed(weight, products);
    const at::Tensor together = packed.apply(x, bias);
    for (const std::int64_t row : {0, 1, 127, 511, 512, 640, 698, 699})
      EXPECT_TRUE(packed.apply(x.narrow(0, row, 1), bias).equal(together.narrow(0, row, 1))) << row;
    EXPECT_TRUE(packed.apply(x.narrow(0, 5, 301), bias).equal(together.narrow(0, 5, 301)));
  }
}

TEST(PackedMatrix, ComputesAnyBlocksOfColumns) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({200, 10}), x = at::randn({9, 10});
  for (const bool fast : ways()) {
    const PackedMatrix packed(weight, Products::kBf16, fast);
    const at::Tensor whole = packed.apply(x, {}), part = at::full({9, 100}, -1.0F);
    packed.multiply(packed.factor(x), 64, 90, nullptr, part.mutable_data_ptr<float>(), 100);
    // fp32 products may be summed in another order
    EXPECT_LT(largest(part.narrow(1, 0, 90) - whole.narrow(1, 64, 90)), fast ? 1e-30 : 1e-5);
    EXPECT_TRUE(part.narrow(1, 90, 10).eq(-1).all().item<bool>()) << "writes beyond its columns";
  }
}

TEST(PackedMatrix, GivesTheRowsOfItsMatrix) {
  at::manual_seed(5);
  const at::Tensor weight = at::randn({70, 7}), ids = at::randint(70, {3, 40}, at::kLong);
  for (const bool fast : ways()) {
    const at::Tensor rows = PackedMatrix(weight, Products::kBf16, fast).rows(ids);
    EXPECT_EQ(rows.sizes(), (std::vector<std::int64_t>{3, 40, 7}));
    const at::Tensor expected = weight.index_select(0, ids.view(-1)).view({3, 40, 7});
    EXPECT_TRUE(rows.equal(expected.to(at::kBFloat16).to(at::kFloat)));
    const at::Tensor finer = PackedMatrix(weight, Products::kBf16x3, fast).rows(ids);
    EXPECT_LT(largest(finer - expected), 4 * std::ldexp(1.0, -16));
  }
}

TEST(PackedMatrix, PassesNotANumberOn) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor weight = at::full({65, 4}, 1.0F);
  at::Tensor x = at::full({2, 4}, 1.0F);
  x.narrow(0, 1, 1).narrow(1, 2, 1).fill_(nan);
  for (const bool fast : ways())
    for (const Products products : {Products::kBf16, Products::kBf16x3}) {
      const at::Tensor out = PackedMatrix(weight, products, fast).apply(x, {});
      EXPECT_FALSE(out.narrow(0, 0, 1).isnan().any().item<bool>());
      EXPECT_TRUE(out.narrow(0, 1, 1).isnan().all().item<bool>());
    }
}

TEST(PackedMatrix, ReadsAnyDtype) {
  at::manual_seed(6);
  const at::Tensor weight = at::randint(-8, 9, {66, 9}).to(at::kFloat), x = at::randn({2, 9});
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kDouble})
    EXPECT_TRUE(PackedMatrix(weight.to(dtype), Products::kBf16)
                    .apply(x, {})
                    .equal(PackedMatrix(weight, Products::kBf16).apply(x, {})));
}

}  // namespace
}  // namespace btm
