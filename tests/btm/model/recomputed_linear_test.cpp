#include "btm/model/recomputed_linear.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace btm {
namespace {

at::Tensor leaf(at::IntArrayRef shape) { return at::randn(shape).set_requires_grad(true); }

TEST(RecomputedLinear, HasTheGradientsOfAutograd) {
  at::manual_seed(11);
  const at::Tensor x = leaf({2, 5, 6}), scale = leaf({6});
  const Linear first{leaf({4, 6}), leaf({4})}, second{leaf({3, 6}), leaf({3})};
  const auto f = [&](const at::Tensor& in) { return at::gelu(in) * scale; };
  const std::vector<at::Tensor> parameters{x,          scale,         first.weight,
                                           first.bias, second.weight, second.bias};

  const at::Tensor input = f(x);
  (at::linear(input, first.weight, first.bias).sum() +
   at::linear(input, second.weight, second.bias).square().sum())
      .backward();
  std::vector<at::Tensor> expected;
  for (const at::Tensor& parameter : parameters) {
    expected.push_back(parameter.grad().clone());
    parameter.mutable_grad().reset();
  }
  for (int pass = 1; pass <= 2; ++pass) {  // gradients add up
    const std::vector<at::Tensor> outputs = recomputed_linears(x, f, {&first, &second});
    EXPECT_TRUE(outputs[0].allclose(at::linear(input, first.weight, first.bias)));
    (outputs[0].sum() + outputs[1].square().sum()).backward();
    for (std::size_t i = 0; i < parameters.size(); ++i)
      EXPECT_TRUE(parameters[i].grad().allclose(expected[i] * pass, 1e-5, 1e-5))
          << "parameter " << i << ", pass " << pass;
  }
}

at::Tensor rounded(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); }

double error_of(const at::Tensor& mine, const at::Tensor& expected) {
  return ((mine - expected).norm() / expected.norm()).item<double>();
}

/// Against fp32 products of rounded factors. Sums of about 100 products in another order.
TEST(RecomputedLinear, HasTheGradientsOfRoundedFactorsInBf16) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor has no products in bf16";
  at::manual_seed(12);
  const at::Tensor x = leaf({3, 30, 70});
  const Linear first{leaf({130, 70}), leaf({130}), {}, Products::kBf16},
      second{leaf({65, 70}), leaf({65}), {}, Products::kBf16};
  const at::Tensor towards = at::randn({3, 30, 130}), also = at::randn({3, 30, 65});
  const at::Tensor input = rounded(at::gelu(x).view({90, 70}).detach()),
                   of_first = rounded(towards.view({90, 130})),
                   of_second = rounded(also.view({90, 65}));
  const at::Tensor of_input =
      at::mm(of_first, rounded(first.weight)) + at::mm(of_second, rounded(second.weight));
  const auto f = [](const at::Tensor& in) { return at::gelu(in); };
  f(x).backward(of_input.detach().view(x.sizes()));
  const at::Tensor of_x = x.grad().clone();
  x.mutable_grad().reset();
  for (int pass = 1; pass <= 2; ++pass) {
    const std::vector<at::Tensor> outputs = recomputed_linears(x, f, {&first, &second});
    EXPECT_LT(error_of(outputs[0].detach().view({90, 130}),
                       at::linear(input, rounded(first.weight), first.bias).detach()),
              1e-6);
    ((outputs[0] * towards).sum() + (outputs[1] * also).sum()).backward();
    EXPECT_LT(error_of(x.grad(), of_x * pass), 1e-6);
    EXPECT_LT(error_of(first.weight.grad(), at::mm(of_first.t(), input) * pass), 1e-6);
    EXPECT_LT(error_of(second.weight.grad(), at::mm(of_second.t(), input) * pass), 1e-6);
    EXPECT_LT(error_of(first.bias.grad(), towards.view({90, 130}).sum(0) * pass), 1e-6);
  }
  // product() of one layer alone has the same gradient
  const at::Tensor alone = leaf({90, 70});
  first.weight.mutable_grad().reset();
  (product(alone, first) * towards.view({90, 130})).sum().backward();
  EXPECT_LT(error_of(alone.grad(), at::mm(of_first, rounded(first.weight)).detach()), 1e-6);
  EXPECT_LT(error_of(first.weight.grad(), at::mm(of_first.t(), rounded(alone.detach()))), 1e-6);
}

TEST(RecomputedLinear, AddsTheGradientOfAnEmbeddingToItsRows) {
  at::manual_seed(11);
  const at::Tensor weight = leaf({5, 3}), factor = at::randn({2, 3, 3});
  const at::Tensor ids = at::arange(6).view({2, 3}).remainder(4);
  (at::embedding(weight, ids) * factor).sum().backward();
  const at::Tensor expected = weight.grad().clone();
  weight.mutable_grad().reset();
  for (int pass = 1; pass <= 2; ++pass) {
    (embedding_rows(weight, ids) * factor).sum().backward();
    EXPECT_TRUE(weight.grad().allclose(expected * pass));
  }
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(embedding_rows(weight, ids).requires_grad());
}

/// 4,096 gradients of one row. If they were added one by one in half precision, the sum would stop
/// at 2,048.
TEST(RecomputedLinear, AddsTheGradientOfAFrequentRowInFp32OnAGpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
  const at::Tensor weight =
      at::zeros({2, 3}, at::TensorOptions().device(at::kCUDA).dtype(at::kHalf))
          .set_requires_grad(true);
  const at::Tensor ids = at::zeros({4096}, at::TensorOptions().device(at::kCUDA).dtype(at::kLong));
  embedding_rows(weight, ids).sum().backward();
  EXPECT_TRUE(weight.grad().cpu().equal(
      at::tensor({4096.0, 0.0}).to(at::kHalf).view({2, 1}).expand({2, 3})));
}

TEST(RecomputedLinear, LeavesOutWhatIsNotUsed) {
  at::manual_seed(11);
  const at::Tensor x = leaf({3, 6});
  const Linear used{leaf({4, 6}), leaf({4})}, unused{leaf({3, 6}), leaf({3})};
  recomputed_linears(x, [](const at::Tensor& in) { return in; }, {&used, &unused})[0]
      .sum()
      .backward();
  EXPECT_TRUE(x.grad().allclose(used.weight.sum(0).expand({3, 6})));
  EXPECT_FALSE(unused.weight.grad().defined());
}

TEST(RecomputedLinear, KeepsNothingWhereNoGradientIsWanted) {
  const Linear linear{leaf({4, 6}), leaf({4})};
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(
      recomputed_linears(leaf({3, 6}), [](const at::Tensor& in) { return in; }, {&linear})[0]
          .requires_grad());
}

}  // namespace
}  // namespace btm
