#include "btm/run/estimate.h"

#include <gtest/gtest.h>

#include "compat/base/numbers.h"

namespace btm {
namespace {

TEST(Estimate, CountsParametersAsTheModelDoes) {
  // btm train prints these for a small transformer_lm_gpt3_small: 3 layers of 128, vocabulary 2112,
  // 128 positions.
  EXPECT_EQ(num_parameters({.layers = 3, .width = 128, .vocab = 2112, .tokens_per_sample = 128}),
            882048);
  // fairseq prints 243584 for the golden seed model: 2 layers of 64.
  EXPECT_EQ(num_parameters({.layers = 2, .width = 64, .vocab = 2112, .tokens_per_sample = 128}),
            243584);
}

TEST(Estimate, GivesTheReleasesSizesTheirNames) {
  EXPECT_NEAR(static_cast<double>(num_parameters({.layers = 12, .width = 768})), 125e6, 2e6);
  EXPECT_NEAR(static_cast<double>(num_parameters({.layers = 24, .width = 2048})), 1.3e9, 0.03e9);
}

TEST(Estimate, TakesNoLongerForMoreExpertsSideBySide) {
  const EstimateOptions options;
  const Estimate few = estimate(options, 64), many = estimate(options, 1024);
  EXPECT_DOUBLE_EQ(few.seconds, many.seconds);
  EXPECT_DOUBLE_EQ(few.expert_seconds, many.expert_seconds);
  EXPECT_GT(many.gpu_hours, 10 * few.gpu_hours);
  EXPECT_DOUBLE_EQ(many.store_bytes, 16 * few.store_bytes);
}

TEST(Estimate, TakesTurnsWhenNotAllFit) {
  EstimateOptions options;
  const double at_once = estimate(options, 64).seconds;
  options.parallel_experts = 16;
  const Estimate turns = estimate(options, 64);
  EXPECT_NEAR(turns.seconds - at_once, 3 * (turns.expert_seconds + turns.transfer_seconds), 1e-6);
}

TEST(Estimate, ScalesWithTheSpeedOfAGpu) {
  EstimateOptions options;
  options.gpus = 1;  // no network
  options.flops = 1e14;
  const double slow = estimate(options, 8).expert_seconds;
  options.flops = 2e14;
  EXPECT_DOUBLE_EQ(estimate(options, 8).expert_seconds, slow / 2);
}

TEST(Estimate, FollowsItsFormulas) {
  EstimateOptions options{.layers = 1,
                          .width = 10,
                          .vocab = 100,
                          .tokens_per_sample = 8,
                          .gpus = 2,
                          .updates = 30,
                          .seed_updates = 10,
                          .batch_size = 3,
                          .update_freq = 4,
                          .seed_experts = 5,
                          .memory_efficient = false,
                          .flops = 1e6,
                          .fabric = 1e6,
                          .link = 1e3};
  // 100*10 + 10*10 + 12*100 + 13*10 + 20
  EXPECT_EQ(num_parameters(options), 2450);
  // 6 * (1200 + 1000) + 6 * 1 * 10 * 8
  EXPECT_DOUBLE_EQ(flops_per_token(options), 13680);
  const Estimate e = estimate(options, 7);
  EXPECT_EQ(e.tokens_per_expert, 20 * 2 * 3 * 4 * 8);
  EXPECT_EQ(e.tokens, 7 * 20 * 192 + 10 * 192 * 5);
  // Per update: 96 tokens per GPU, and 2 * 1/2 * 2 bytes * 2450 over the network.
  EXPECT_NEAR(e.expert_seconds, 20 * (96 * 0.01368 + 4900e-6), 1e-9);
  EXPECT_DOUBLE_EQ(e.gpu_bytes, 2450 * 20.0);
  EXPECT_DOUBLE_EQ(e.checkpoint_bytes, 2450 * 12.0);
  EXPECT_DOUBLE_EQ(e.transfer_seconds, 2450 * 16 / 1e3);
}

TEST(EstimateTable, HasAColumnForEachNumberOfExperts) {
  const Table table = estimate_table({estimate({}, 64), estimate({}, 1024)});
  EXPECT_EQ(table.columns[2].name, "1,024");
  for (const auto& row : table.rows) EXPECT_EQ(row.size(), 3u);
  EXPECT_EQ(assumption_table({}).rows[0][1], compat::grouped(num_parameters({})));
}

}  // namespace
}  // namespace btm
