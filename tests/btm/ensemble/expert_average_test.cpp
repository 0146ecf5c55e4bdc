#include "btm/ensemble/expert_average.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_model.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::random_model;
using btm_test::small_config;

AveragedModel outline(const char* name, const TransformerConfig& config,
                      std::int64_t vocabulary = 90) {
  return {name, std::make_unique<TransformerLM>(config, vocabulary)};
}

TEST(CheckSameNetwork, NamesWhatDiffers) {
  const AveragedModel first = outline("law", small_config());
  check_same_network(first, outline("code", small_config()));
  expect_error<compat::UsageError>(
      [&] { check_same_network(first, outline("code", small_config(), 91)); },
      "experts of one shape, 'code' has other parameters than 'law'");
  TransformerConfig more_heads = small_config();
  more_heads.decoder_attention_heads = 4;
  expect_error<compat::UsageError>([&] { check_same_network(first, outline("code", more_heads)); },
                                   "experts of one network, 'code' is not as 'law': ");
}

TEST(ParameterSum, IsTheWeightedSumInFp32) {
  const auto a = random_model(small_config(), 1), b = random_model(small_config(), 2);
  for (const NamedParameter& parameter : b->parameters())
    *parameter.tensor = parameter.tensor->to(at::kHalf);
  ParameterSum sum;
  sum.add(*a, 0.25);
  sum.add(*b, 0.75);
  TransformerLM average(small_config(), 90);
  sum.assign_to(average, Precision{});
  for (std::size_t i = 0; i < a->parameters().size(); ++i) {
    const at::Tensor wanted =
        *a->parameters()[i].tensor * 0.25 + b->parameters()[i].tensor->to(at::kFloat) * 0.75;
    EXPECT_TRUE(at::equal(*average.parameters()[i].tensor, wanted)) << a->parameters()[i].name;
  }
}

TEST(ParameterSum, IsRoundedAsThePrecisionSays) {
  const auto model = random_model(small_config());
  ParameterSum sum;
  sum.add(*model, 1);
  Precision precision;
  precision.rounding = at::kBFloat16;
  TransformerLM rounded(small_config(), 90);
  sum.assign_to(rounded, precision);
  const at::Tensor& before = *model->parameters().front().tensor;
  const at::Tensor& after = *rounded.parameters().front().tensor;
  EXPECT_EQ(after.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(after, before.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_FALSE(at::equal(after, before));
}

}  // namespace
}  // namespace btm
