#include "btm/model/fairseq_gating.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "compat/base/error.h"

namespace btm {
namespace {

/// Gating with these entries of cfg.model, a Python dict.
FairseqGating gating(const std::string& model, Routing routing = Routing::kTop2,
                     std::uint64_t seed = 1) {
  return {compat::Config(compat::parse_python_literal("{'model': " + model + "}"), "m.pt"), routing,
          seed};
}

/// `tokens` rows with these probabilities of experts.
at::Tensor rows_of(const std::vector<double>& probabilities, std::int64_t tokens) {
  return at::log(at::tensor(probabilities))
      .to(at::kFloat)
      .unsqueeze(0)
      .expand({tokens, static_cast<std::int64_t>(probabilities.size())})
      .contiguous();
}

std::vector<float> weights_of(const ExpertChoice& choice, std::int64_t j) {
  const at::Tensor column = choice.weights.select(1, j).contiguous();
  return {column.const_data_ptr<float>(), column.const_data_ptr<float>() + column.numel()};
}

std::int64_t kept(const ExpertChoice& choice, std::int64_t j) {
  return choice.weights.select(1, j).ne(0).sum().item<std::int64_t>();
}

TEST(FairseqGating, TakesTheFirstTokensUpToTheCapacity) {
  FairseqGating all = gating("{'moe_second_expert_policy': 'all'}");
  const ExpertChoice choice = all.choose(rows_of({0.6, 0.3, 0.1}, 10));
  EXPECT_TRUE(choice.experts.select(1, 0).eq(0).all().item<bool>());
  EXPECT_TRUE(choice.experts.select(1, 1).eq(1).all().item<bool>());
  // A capacity of ceil(0.25 * 10) = 3.
  const std::vector<float> first = weights_of(choice, 0), second = weights_of(choice, 1);
  for (std::size_t n = 0; n < 10; ++n) {
    EXPECT_NEAR(first[n], n < 3 ? 2.0 / 3 : 0, 1e-6) << n;
    EXPECT_NEAR(second[n], n < 3 ? 1.0 / 3 : 0, 1e-6) << n;
  }
  EXPECT_EQ(all.first().choices, 10);
  EXPECT_EQ(all.first().over_capacity, 7);
  EXPECT_EQ(all.second().over_capacity, 7);
}

TEST(FairseqGating, CountsFirstChoicesBeforeSecondOnes) {
  // Tokens 0 and 1 prefer expert 0, the others expert 1. The second choices of the latter are
  // expert 0, of whose capacity of 3 the first choices leave 1.
  const at::Tensor logits = at::tensor(std::vector<float>{2, 1, 2, 1, 1, 2, 1, 2}).view({4, 2});
  FairseqGating some =
      gating("{'moe_second_expert_policy': 'all', 'moe_eval_capacity_token_fraction': 0.75}");
  const ExpertChoice choice = some.choose(logits);
  EXPECT_EQ(kept(choice, 0), 4);
  const std::vector<float> second = weights_of(choice, 1);
  EXPECT_GT(second[0], 0);
  EXPECT_EQ(second[1], 0);
  EXPECT_GT(second[2], 0);
  EXPECT_EQ(second[3], 0);
  // What is left of a token is weighted anew, unless weights are normalised first.
  EXPECT_EQ(weights_of(choice, 0)[1], 1);
  FairseqGating before = gating(
      "{'moe_second_expert_policy': 'all', 'moe_eval_capacity_token_fraction': 0.75, "
      "'moe_normalize_gate_prob_before_dropping': True}");
  EXPECT_NEAR(weights_of(before.choose(logits), 0)[1], 1 / (1 + std::exp(-1.0)), 1e-6);
}

TEST(FairseqGating, Top1KeepsItsProbabilityAndRoundsDown) {
  const at::Tensor logits = rows_of({0.7, 0.3}, 10);
  FairseqGating forks = gating("{}", Routing::kTop1);
  const ExpertChoice choice = forks.choose(logits);
  EXPECT_EQ(choice.experts.size(1), 1);
  EXPECT_EQ(kept(choice, 0), 2);
  EXPECT_NEAR(weights_of(choice, 0)[0], 0.7, 1e-6);
  EXPECT_EQ(forks.second_expert(), "");
  EXPECT_FALSE(forks.draws());
  FairseqGating stated = gating("{'moe_eval_capacity_token_fraction': 0.25}", Routing::kTop1);
  EXPECT_EQ(kept(stated.choose(logits), 0), 3);
}

TEST(FairseqGating, AFractionOfNothingIsTheCapacityOfTraining) {
  const std::string model =
      "{'moe_second_expert_policy': 'all', 'moe_eval_capacity_token_fraction': -1.0}";
  FairseqGating top2 = gating(model), top1 = gating(model, Routing::kTop1);
  const at::Tensor logits = rows_of({0.6, 0.3, 0.1}, 10);
  EXPECT_EQ(kept(top2.choose(logits), 0), 8);
  EXPECT_EQ(kept(top1.choose(logits), 0), 4);
  FairseqGating vast =
      gating("{'moe_second_expert_policy': 'all', 'moe_eval_capacity_token_fraction': 1e300}");
  EXPECT_EQ(kept(vast.choose(logits), 1), 10);
}

TEST(FairseqGating, DrawsTheSecondExpertByItsProbability) {
  constexpr std::int64_t kTokens = 20'000;
  FairseqGating sampling = gating("{'moe_eval_capacity_token_fraction': 1.0}");
  EXPECT_TRUE(sampling.draws());
  const at::Tensor logits = rows_of({0.5, 0.3, 0.2}, kTokens);
  const ExpertChoice choice = sampling.choose(logits);
  const double share = choice.experts.select(1, 1).eq(1).to(at::kFloat).mean().item<double>();
  EXPECT_NEAR(share, 0.6, 0.02);  // 0.3 / (0.3 + 0.2); six standard deviations
  FairseqGating again = gating("{'moe_eval_capacity_token_fraction': 1.0}");
  EXPECT_TRUE(again.choose(logits).experts.equal(choice.experts));
  FairseqGating other = gating("{'moe_eval_capacity_token_fraction': 1.0}", Routing::kTop2, 2);
  EXPECT_FALSE(other.choose(logits).experts.equal(choice.experts));
}

TEST(FairseqGating, LeavesTheSecondExpertOutByItsProbability) {
  constexpr std::int64_t kTokens = 20'000;
  FairseqGating random =
      gating("{'moe_second_expert_policy': 'random', 'moe_eval_capacity_token_fraction': 1.0}");
  const ExpertChoice choice = random.choose(rows_of({0.5, 0.3, 0.2}, kTokens));
  const double share = static_cast<double>(kept(choice, 1)) / kTokens;
  EXPECT_NEAR(share, 0.6, 0.02);  // 2 * 0.3
  EXPECT_EQ(random.second().choices, kept(choice, 1));
  EXPECT_NEAR(choice.weights.sum(1).min().item<double>(), 1, 1e-6);
}

TEST(FairseqGating, RefusesWhatFairseqCannotDo) {
  struct Bad {
    const char *model, *message;
  };
  for (const Bad& bad :
       {Bad{"{'moe_second_expert_policy': 'both'}", "expected all, sampling"},
        Bad{"{'moe_eval_capacity_token_fraction': 'x'}", "moe_eval_capacity"},
        Bad{"{'moe_eval_capacity_token_fraction': 1e999}", "expected a finite number"},
        Bad{"{'moe_normalize_gate_prob_before_dropping': 3}", "moe_normalize"}}) {
    try {
      gating(bad.model);
      ADD_FAILURE() << bad.model;
    } catch (const compat::FormatError& error) {
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(gating("{}", Routing::kSoft), compat::UnsupportedError);
}

}  // namespace
}  // namespace btm
