#include "btm/trainer/flat_parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace btm {
namespace {

TransformerConfig tiny() {
  TransformerConfig config;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 6;
  config.decoder_ffn_embed_dim = 10;
  config.decoder_layers = 2;
  config.decoder_attention_heads = 2;
  config.share_decoder_input_output_embed = config.decoder_learned_pos =
      config.decoder_normalize_before = true;
  config.max_target_positions = 8;
  return config;
}

TEST(FlatParameters, PutsParametersInOrderAndAligned) {
  TransformerLM model(tiny(), 11);
  const FlatParameters flat(model, at::kFloat, at::kCPU);
  ASSERT_EQ(flat.slots().size(), model.parameters().size());
  std::int64_t end = 0;
  for (std::size_t i = 0; i < flat.slots().size(); ++i) {
    const auto& slot = flat.slots()[i];
    EXPECT_EQ(slot.name, model.parameters()[i].name);
    EXPECT_EQ(slot.offset % FlatParameters::kAlignment, 0);
    EXPECT_GE(slot.offset, end);
    end = slot.offset + slot.numel;
  }
  EXPECT_GE(flat.size(), end);
}

TEST(FlatParameters, KeepsValuesAndCollectsGradients) {
  TransformerLM model(tiny(), 11);
  {
    const at::NoGradGuard no_grad;
    float value = 0.01F;
    for (const auto& parameter : model.parameters())
      *parameter.tensor = at::full(parameter.shape, value += 0.01F);
  }
  const FlatParameters flat(model, at::kFloat, at::kCPU);
  EXPECT_FLOAT_EQ(flat.view(flat.values(), 1).max().item<float>(), 0.03F);
  const at::Tensor tokens = at::tensor({2, 4, 5}, at::kLong).view({1, 3});
  for (int pass = 0; pass < 2; ++pass) model.features(tokens).sum().backward();
  const at::Tensor twice = flat.gradients().clone();
  EXPECT_GT(twice.abs().max().item<float>(), 0);
  flat.gradients().zero_();
  model.features(tokens).sum().backward();
  EXPECT_TRUE(twice.equal(flat.gradients() * 2)) << "backward passes add up in the buffer";
}

TEST(FlatParameters, AnnouncesNothingWhenNobodyListens) {
  TransformerLM model(tiny(), 11);
  FlatParameters flat(model, at::kFloat, at::kCPU);
  flat.announce(0, 3);
  std::vector<std::pair<std::size_t, std::size_t>> calls;
  flat.on_ready([&](std::size_t first, std::size_t last) { calls.emplace_back(first, last); });
  flat.announce(3, 5);
  flat.announce(2, 2);
  EXPECT_EQ(calls, (std::vector<std::pair<std::size_t, std::size_t>>{{3, 5}}));
}

}  // namespace
}  // namespace btm
