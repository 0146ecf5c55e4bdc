#include "btm/trainer/forward_backward.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "btm/trainer/initialise.h"

namespace btm {
namespace {

TransformerConfig tiny(bool tied) {
  TransformerConfig config;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 16;
  config.decoder_ffn_embed_dim = 24;
  config.decoder_layers = 3;
  config.decoder_attention_heads = 2;
  config.share_decoder_input_output_embed = config.decoder_learned_pos =
      config.decoder_normalize_before = tied;
  config.max_target_positions = 12;
  return config;
}

/// Adaptive inputs and softmax over 13 words. Projections are tied where `tied`.
TransformerConfig adaptive(bool tied) {
  TransformerConfig config = tiny(false);
  config.adaptive_input = config.tie_adaptive_weights = true;
  config.tie_adaptive_proj = tied;
  config.adaptive_input_cutoff = config.adaptive_softmax_cutoff = {4, 7};
  config.adaptive_input_factor = config.adaptive_softmax_factor = 2;
  return config;
}

/// Two rows, the second padded.
DeviceBatch batch() {
  Batch rows;
  rows.rows = 2;
  rows.columns = 5;
  rows.tokens = {2, 5, 6, 7, 8, 2, 9, 4, 1, 1};
  rows.targets = {5, 6, 7, 8, 2, 9, 4, 2, 1, 1};
  rows.ids = {0, 1};
  rows.num_tokens = 8;
  return to_device(rows, at::kCPU);
}

struct TinyModel {
  explicit TinyModel(const TransformerConfig& config, const TrainingSwitches& switches)
      : model(config, 13) {
    initialise(model, 1);
    flat = std::make_unique<FlatParameters>(model, at::kFloat, at::kCPU);
    passes = std::make_unique<ForwardBackward>(model, *flat, switches);
  }
  TransformerLM model;
  std::unique_ptr<FlatParameters> flat;
  std::unique_ptr<ForwardBackward> passes;
};

TEST(ForwardBackward, GradientsAreDerivativesOfTheLoss) {
  for (const TransformerConfig& config :
       {tiny(true), tiny(false), adaptive(true), adaptive(false)}) {
    TinyModel setup(config, {});
    const double loss = setup.passes->run(batch(), 1, false).loss;
    EXPECT_NEAR(loss, setup.passes->evaluate(batch()).loss, 1e-4);
    const at::Tensor gradients = setup.flat->gradients().clone();
    // Central differences along the gradient. fp32 leaves three digits.
    const double norm = gradients.norm().item<double>(), h = 1e-2;
    const at::Tensor step = gradients * (h / norm);
    setup.flat->values().add_(step);
    const double up = setup.passes->evaluate(batch()).loss;
    setup.flat->values().sub_(step * 2);
    const double down = setup.passes->evaluate(batch()).loss;
    EXPECT_NEAR((up - down) / (2 * h), norm, 0.01 * norm);
  }
}

TransformerConfig tiny_mixture(Routing routing) {
  TransformerConfig config = tiny(true);
  config.moe_freq = 2;  // the middle layer
  config.moe_expert_count = 3;
  config.routing = routing;
  return config;
}

/// The loss with those of the routers, from the passes' own numbers.
double whole_loss(TinyModel& setup, const TrainingSwitches& switches) {
  RouterStats routers;
  const double loss = setup.passes->run(batch(), 1, false, &routers).loss;
  setup.flat->gradients().zero_();
  return loss + switches.balance_loss * routers.balance + switches.z_loss * routers.z;
}

TEST(ForwardBackward, GradientsOfAMixtureAreDerivativesOfItsLosses) {
  for (const Routing routing : {Routing::kTop1, Routing::kTop2, Routing::kSoft})
    for (const bool checkpoint : {false, true}) {
      // A soft router balances against its own shares, which count as constants: no derivative.
      TrainingSwitches switches;
      switches.checkpoint_activations = checkpoint;
      switches.balance_loss = routing == Routing::kSoft ? 0 : 0.3;
      switches.z_loss = 0.2;
      TinyModel setup(tiny_mixture(routing), switches);
      setup.passes->run(batch(), 1, false);
      const at::Tensor gradients = setup.flat->gradients().clone();
      whole_loss(setup, switches);
      // All parameters, then the routers alone. A step of 1e-3 changes no choice of an expert.
      for (const bool routers_alone : {false, true}) {
        at::Tensor direction = gradients.clone();
        const auto& slots = setup.flat->slots();
        for (std::size_t i = 0; i < slots.size(); ++i)
          if (routers_alone && slots[i].name.find("gate") == std::string::npos)
            setup.flat->view(direction, i).zero_();
        const double norm = direction.norm().item<double>(), h = 2e-3;
        ASSERT_GT(norm, 0);
        const at::Tensor step = direction * (h / norm);
        setup.flat->values().add_(step);
        const double up = whole_loss(setup, switches);
        setup.flat->values().sub_(step * 2);
        const double down = whole_loss(setup, switches);
        setup.flat->values().add_(step);
        EXPECT_NEAR((up - down) / (2 * h), norm, 0.02 * norm + 2e-3)
            << routing_name(routing) << (routers_alone ? " routers" : "");
      }
    }
}

TEST(ForwardBackward, FrozenParametersGetNoGradientAndEarlierOnesTheirs) {
  TinyModel setup(tiny_mixture(Routing::kTop2), {});
  setup.passes->run(batch(), 1, false);
  const at::Tensor whole = setup.flat->gradients().clone();
  setup.flat->gradients().zero_();
  const auto is_frozen = [](const std::string& name) {
    return name.find("experts.1.") != std::string::npos || name.find("embed") != std::string::npos;
  };
  setup.flat->freeze(is_frozen);
  setup.passes->run(batch(), 1, false);
  setup.flat->zero_frozen();
  for (std::size_t i = 0; i < setup.flat->slots().size(); ++i) {
    const at::Tensor ours = setup.flat->view(setup.flat->gradients(), i);
    if (is_frozen(setup.flat->slots()[i].name))
      EXPECT_EQ(ours.abs().max().item<double>(), 0) << setup.flat->slots()[i].name;
    else
      EXPECT_TRUE(ours.allclose(setup.flat->view(whole, i), 1e-5, 1e-6))
          << setup.flat->slots()[i].name;
  }
}

TEST(ForwardBackward, ScalesTheLossAndAddsUp) {
  TinyModel setup(tiny(true), {});
  setup.passes->run(batch(), 1, false);
  const at::Tensor once = setup.flat->gradients().clone();
  setup.flat->gradients().zero_();
  for (int i = 0; i < 2; ++i) setup.passes->run(batch(), 8, false);
  EXPECT_TRUE(setup.flat->gradients().allclose(once * 16, 1e-4, 1e-5));
}

TEST(ForwardBackward, CheckpointedActivationsChangeNothing) {
  TrainingSwitches switches{{0.2, 0.1, 0.3}, 0, false};
  const auto gradients = [&](bool checkpoint) {
    switches.checkpoint_activations = checkpoint;
    TinyModel setup(tiny(true), switches);
    at::manual_seed(5);
    const double first = setup.passes->run(batch(), 1, false).loss,
                 second = setup.passes->run(batch(), 1, false).loss;
    EXPECT_NE(first, second) << "dropout draws anew";
    return setup.flat->gradients();
  };
  EXPECT_TRUE(gradients(false).equal(gradients(true)));
}

TEST(ForwardBackward, AnnouncesEverySlotOnceFromTheLastToTheFirst) {
  for (const double layerdrop : {0.0, 1.0}) {
    TinyModel setup(tiny(false), {{}, layerdrop, false});
    std::size_t from = setup.flat->slots().size();
    setup.flat->on_ready([&](std::size_t first, std::size_t last) {
      EXPECT_EQ(last, from);
      EXPECT_LT(first, last);
      from = first;
    });
    setup.passes->run(batch(), 1, false);
    EXPECT_EQ(from, setup.flat->slots().size()) << "only the last micro-batch announces";
    setup.passes->run(batch(), 1, true);
    EXPECT_EQ(from, 0U);
  }
}

TEST(ForwardBackward, LeavesOutDroppedLayers) {
  TinyModel setup(tiny(true), {{}, 1.0, false});
  setup.passes->run(batch(), 1, true);
  for (std::size_t i = 0; i < setup.flat->slots().size(); ++i) {
    const std::string& name = setup.flat->slots()[i].name;
    if (!name.starts_with("decoder.layers.")) continue;
    EXPECT_EQ(setup.flat->view(setup.flat->gradients(), i).abs().max().item<float>(), 0) << name;
  }
  EXPECT_GT(setup.flat->gradients().abs().max().item<float>(), 0);
}

TEST(Initialise, DrawsFairseqsDistributions) {
  TransformerConfig config = tiny(true);
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 128;
  config.decoder_ffn_embed_dim = 256;
  TransformerLM model(config, 1000);
  initialise(model, 7);
  const auto of = [&](const std::string& name) {
    for (const auto& parameter : model.parameters())
      if (parameter.name == name) return *parameter.tensor;
    ADD_FAILURE() << name;
    return at::Tensor();
  };
  const auto expect_std = [&](const std::string& name, double expected) {
    EXPECT_NEAR(of(name).std().item<double>(), expected, 0.03 * expected) << name;
  };
  const double uniform = 1 / std::sqrt(3.0);  // of the bound
  expect_std("decoder.embed_tokens.weight", 1 / std::sqrt(128.0));
  EXPECT_EQ(of("decoder.embed_tokens.weight")[1].abs().max().item<float>(), 0) << "padding";
  expect_std("decoder.layers.0.self_attn.q_proj.weight",
             std::sqrt(6.0 / 256) / std::sqrt(2.0) * uniform);
  expect_std("decoder.layers.0.self_attn.out_proj.weight", std::sqrt(6.0 / 256) * uniform);
  expect_std("decoder.layers.1.fc1.weight", uniform / std::sqrt(128.0));
  expect_std("decoder.layers.1.fc2.weight", uniform / std::sqrt(256.0));
  EXPECT_EQ(of("decoder.layers.0.self_attn.out_proj.bias").abs().max().item<float>(), 0);
  EXPECT_GT(of("decoder.layers.0.self_attn.k_proj.bias").abs().max().item<float>(), 0);
  EXPECT_EQ(of("decoder.layers.2.final_layer_norm.weight").min().item<float>(), 1);
  const at::Tensor before = of("decoder.layers.1.fc1.weight").clone();
  initialise(model, 7);
  EXPECT_TRUE(before.equal(of("decoder.layers.1.fc1.weight"))) << "the seed decides";
}

}  // namespace
}  // namespace btm
