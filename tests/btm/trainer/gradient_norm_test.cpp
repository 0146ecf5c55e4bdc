#include "btm/trainer/gradient_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace btm {
namespace {

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

}  // namespace
}  // namespace btm
