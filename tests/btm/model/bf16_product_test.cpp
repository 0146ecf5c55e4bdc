#include "btm/model/bf16_product.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <limits>

namespace btm {
namespace {

at::Tensor integers(at::IntArrayRef shape) { return at::randint(-8, 9, shape).to(at::kFloat); }

at::Tensor rounded(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); }

class Bf16Product : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_fast_bf16()) GTEST_SKIP() << "this processor has no products in bf16";
    at::manual_seed(1);
  }
};

struct Shape {
  std::int64_t rows, depth, columns;
};
/// Below, at and beyond blocks of 64 columns, pairs and tiles of 32 inputs, 1024 inputs at once,
/// kernels of 128 rows, and 2048 rows of a task.
const Shape kShapes[] = {{0, 4, 5},       {1, 1, 1},      {3, 5, 63},
                         {130, 6, 64},    {129, 33, 65},  {600, 64, 30},
                         {2100, 31, 130}, {40, 1027, 70}, {7, 2048, 16}};

TEST_F(Bf16Product, IsExactWhereBf16Is) {
  for (const auto& [rows, depth, columns] : kShapes) {
    const at::Tensor a = integers({rows, depth}), b = integers({depth, columns}),
                     bias = integers({columns}), start = integers({rows, columns});
    const at::Tensor expected = at::matmul(a, b);
    const at::Tensor transposed = b.t().contiguous().t();  // its columns are contiguous
    for (const at::Tensor& factor : {bf16_rows(a), bf16_transposed(a.t().contiguous())})
      for (const at::Tensor& second : {b, transposed}) {
        at::Tensor out = at::full({rows, columns}, -1.0F), sum = start.clone();
        multiply_bf16(factor, second, {}, out);
        EXPECT_TRUE(out.equal(expected)) << rows << " x " << depth << " by " << columns;
        multiply_bf16(factor, second, bias, out);
        EXPECT_TRUE(out.equal(expected + bias)) << rows << " x " << depth << " by " << columns;
        add_multiply_bf16(factor, second, sum);
        EXPECT_TRUE(sum.equal(start + expected)) << rows << " x " << depth << " by " << columns;
      }
  }
}

TEST_F(Bf16Product, RoundsItsFactorsToTheNearestAsLibTorchDoes) {
  for (const auto& [rows, depth, columns] : kShapes) {
    const at::Tensor a = at::randn({rows, depth}), b = at::randn({depth, columns});
    const at::Tensor expected = at::matmul(rounded(a), rounded(b));
    at::Tensor out = at::full({rows, columns}, 0.0F);
    for (const at::Tensor& factor : {bf16_rows(a), bf16_transposed(a.t())}) {
      multiply_bf16(factor, b, {}, out);
      // only the order of up to 2,048 sums of fp32 differs
      EXPECT_TRUE(out.allclose(expected, 1e-5, 2e-4))
          << rows << " x " << depth << " by " << columns;
    }
    EXPECT_TRUE(bf16_transposed(a).narrow(1, 0, rows).equal(a.t().to(at::kBFloat16).contiguous()));
  }
}

TEST_F(Bf16Product, WritesItsColumnsAlone) {
  const at::Tensor a = integers({9, 10}), b = integers({10, 90}), all = at::full({9, 100}, -1.0F);
  multiply_bf16(bf16_rows(a), b, {}, all.narrow(1, 5, 90));
  EXPECT_TRUE(all.narrow(1, 5, 90).equal(at::matmul(a, b)));
  EXPECT_TRUE(all.narrow(1, 0, 5).eq(-1).all().item<bool>());
  EXPECT_TRUE(all.narrow(1, 95, 5).eq(-1).all().item<bool>());
}

TEST_F(Bf16Product, ReadsPartsOfMatrices) {
  const at::Tensor large = integers({70, 300}), b = large.narrow(0, 3, 40).narrow(1, 7, 100),
                   a = integers({50, 80}).narrow(1, 20, 40);
  at::Tensor out = at::full({50, 100}, 0.0F);
  multiply_bf16(bf16_rows(a), b, {}, out);
  EXPECT_TRUE(out.equal(at::matmul(a, b)));
  multiply_bf16(bf16_transposed(a.t()), b, {}, out);
  EXPECT_TRUE(out.equal(at::matmul(a, b)));
}

TEST_F(Bf16Product, HasTheSameBitsOnAnyNumberOfThreads) {
  const at::Tensor a = at::randn({1500, 70}), b = at::randn({70, 200});
  const int threads = at::get_num_threads();
  at::Tensor one = at::full({1500, 200}, 0.0F), several = one.clone();
  at::set_num_threads(1);
  multiply_bf16(bf16_rows(a), b, {}, one);
  at::set_num_threads(5);
  multiply_bf16(bf16_rows(a), b, {}, several);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.equal(several));
}

TEST_F(Bf16Product, PassesNotANumberOn) {
  at::Tensor a = at::full({2, 4}, 1.0F), b = at::full({4, 65}, 1.0F);
  a.narrow(0, 1, 1).narrow(1, 2, 1).fill_(std::numeric_limits<float>::quiet_NaN());
  at::Tensor out = at::full({2, 65}, 0.0F);
  for (const at::Tensor& factor : {bf16_rows(a), bf16_transposed(a.t())}) {
    multiply_bf16(factor, b, {}, out);
    EXPECT_TRUE(out.narrow(0, 0, 1).eq(4).all().item<bool>());
    EXPECT_TRUE(out.narrow(0, 1, 1).isnan().all().item<bool>());
  }
}

}  // namespace
}  // namespace btm
