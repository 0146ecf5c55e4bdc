#include "btm/model/few_rows.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>

namespace btm {
namespace {

at::Tensor few(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  at::Tensor out = at::zeros({x.size(0), w.size(0)});
  multiply_few(x.const_data_ptr<float>(), x.size(0), w.const_data_ptr<float>(), w.size(1),
               w.size(0), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
               out.mutable_data_ptr<float>(), w.size(0));
  return out;
}

TEST(FewRows, MultipliesAsLibTorch) {
  at::manual_seed(3);
  // Tiles are 4 rows by 4 columns of 16 lanes, and tasks 64 columns.
  for (const auto& [rows, in, columns] :
       {std::array{1, 16, 4}, std::array{3, 40, 7}, std::array{2, 15, 130}, std::array{16, 768, 65},
        std::array{64, 1040, 70}}) {
    const at::Tensor x = at::randn({rows, in}), w = at::randn({columns, in}) * 0.1,
                     bias = at::randn({columns});
    EXPECT_LT((few(x, w, bias) - at::linear(x, w, bias)).abs().max().item<double>(), 2e-6 * in);
    EXPECT_LT((few(x, w, {}) - at::linear(x, w)).abs().max().item<double>(), 2e-6 * in);
  }
}

TEST(FewRows, GivesARowTheSameBitsWhateverIsBeside) {
  at::manual_seed(4);
  const at::Tensor w = at::randn({130, 75}), bias = at::randn({130});
  // Less than a tile, some tiles and a rest, and so many that the next rows of w are fetched.
  for (const std::int64_t rows : {3, 6, 7, 41}) {
    const at::Tensor x = at::randn({rows, 75}), all = few(x, w, bias);
    for (std::int64_t row = 0; row < rows; ++row)
      EXPECT_TRUE(few(x.narrow(0, row, 1), w, bias).equal(all.narrow(0, row, 1))) << row;
  }
}

}  // namespace
}  // namespace btm
