#include "btm/trainer/adam.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace btm {
namespace {

TEST(Adam, StepsAsFairseqDoes) {
  // The output of fairseq 0.12.2's Adam (torch 2.8). eps is large here, so that its place in the
  // formula matters.
  const at::Tensor values = at::tensor({0.5F, -1.25F, 2.0F, 0.003F});
  Adam adam(values, {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1});
  struct Row {
    double lr;
    std::vector<float> gradient, expected;
  };
  const std::vector<Row> rows{
      {1e-2,
       {0.1F, -0.2F, 0.0F, 3.0F},
       {0.48992806673049927F, -1.2389687299728394F, 1.9980000257492065F, -0.006988115608692169F}},
      {2e-2,
       {0.3F, 0.1F, -1e-4F, -2.0F},
       {0.4710284173488617F, -1.2312308549880981F, 1.9943255186080933F, -0.009874967858195305F}},
      {5e-3,
       {-0.1F, 0.7F, 0.2F, 0.5F},
       {0.46840667724609375F, -1.233272910118103F, 1.9902817010879517F, -0.010877995751798153F}},
  };
  for (const Row& row : rows) {
    at::Tensor gradient = at::tensor(row.gradient) * 4;
    adam.step(values, gradient, row.lr, 0.25);
    for (std::int64_t i = 0; i < 4; ++i)
      EXPECT_NEAR(values[i].item<float>(), row.expected[static_cast<std::size_t>(i)], 3e-7)
          << "element " << i;  // two ulps
    EXPECT_EQ(gradient.abs().max().item<float>(), 0) << "gradients are zeroed";
  }
  EXPECT_EQ(adam.steps(), 3);
}

TEST(Adam, DoesNotDependOnThreads) {
  const auto run = [](int threads) {
    at::set_num_threads(threads);
    const at::Tensor values = at::arange(100'003, at::kFloat).sin();
    Adam adam(values, {.weight_decay = 0.01});
    for (int i = 0; i < 3; ++i) adam.step(values, at::arange(100'003, at::kFloat).cos(), 1e-2, 0.5);
    return values;
  };
  EXPECT_TRUE(run(1).equal(run(2)));
}

TEST(L2Norm, IsExactAndIndependentOfThreads) {
  const at::Tensor values = at::full({200'001}, 3.0F);
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    EXPECT_DOUBLE_EQ(l2_norm(values), 3 * std::sqrt(200'001.0));
  }
  EXPECT_EQ(l2_norm(at::zeros({5})), 0);
}

TEST(L2Norm, ShowsWhatIsNotFinite) {
  EXPECT_TRUE(std::isinf(l2_norm(at::tensor({1.0F, std::numeric_limits<float>::infinity()}))));
  EXPECT_TRUE(std::isnan(l2_norm(at::tensor({1.0F, std::numeric_limits<float>::quiet_NaN()}))));
}

TEST(ClipCoefficient, LeavesShortGradientsAlone) {
  EXPECT_EQ(clip_coefficient(0.05, 0.1), 1);
  EXPECT_DOUBLE_EQ(clip_coefficient(2, 0.1), 0.1 / (2 + 1e-6));
  EXPECT_EQ(clip_coefficient(2, 0), 1);
}

TEST(Adam, ChangesTheGivenPartsAlone) {
  const at::Tensor values = at::ones({10}), gradients = at::ones({10});
  Adam adam(values, {0.9, 0.999, 1e-8, 0.1});
  adam.step(values, gradients, 0.5, 1, {{0, 3}, {8, 10}});
  for (std::int64_t i = 0; i < 10; ++i) {
    const bool trained = i < 3 || i >= 8;
    EXPECT_EQ(values[i].item<float>() != 1, trained) << i;
    EXPECT_EQ(adam.exp_avg()[i].item<float>() != 0, trained) << i;
  }
}

}  // namespace
}  // namespace btm
