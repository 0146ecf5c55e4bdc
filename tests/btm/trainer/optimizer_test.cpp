#include "btm/trainer/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "btm/trainer/initialise.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

/// A buffer of 100,000 weights or more, of which a test may use the first few.
struct Weights {
  explicit Weights(const OptimizationOptions& options) : model(config(), 4000) {
    initialise(model, 1);
    flat = std::make_unique<FlatParameters>(model, at::kFloat, at::kCPU);
    optimizer = Optimizer::make(options, 1e-2, *flat);
  }
  static TransformerConfig config() {
    TransformerConfig config;
    config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 16;
    config.decoder_ffn_embed_dim = 8;
    config.decoder_layers = 1;
    config.decoder_attention_heads = 1;
    return config;
  }
  TransformerLM model;
  std::unique_ptr<FlatParameters> flat;
  std::unique_ptr<Optimizer> optimizer;
};

struct Row {
  double lr;
  std::vector<float> gradient, expected;
};

TEST(Optimizer, AdamStepsAsFairseqDoes) {
  // The output of fairseq 0.12.2's Adam (torch 2.8). eps is large here, so that its place in the
  // formula matters.
  OptimizationOptions options;
  options.adam_betas = "(0.9, 0.95)";
  options.adam_eps = 1e-3;
  options.weight_decay = 0.1;
  const Weights weights(options);
  const at::Tensor &values = weights.flat->values(), &gradients = weights.flat->gradients();
  const at::Tensor first = values.narrow(0, 0, 4);
  first.copy_(at::tensor({0.5F, -1.25F, 2.0F, 0.003F}));
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
    gradients.narrow(0, 0, 4).copy_(at::tensor(row.gradient) * 4);
    weights.optimizer->step(values, gradients, row.lr, 0.25);
    for (std::int64_t i = 0; i < 4; ++i)
      EXPECT_NEAR(first[i].item<float>(), row.expected[static_cast<std::size_t>(i)], 3e-7)
          << "element " << i;  // two ulps
    EXPECT_EQ(gradients.abs().max().item<float>(), 0) << "gradients are zeroed";
  }
  EXPECT_EQ(weights.optimizer->steps(), 3);
}

TEST(Optimizer, DoesNotDependOnThreads) {
  for (const char* const name : {"adam", "nag", "sgd", "adagrad", "adamax"}) {
    const auto run = [&](int threads) {
      at::set_num_threads(threads);
      OptimizationOptions options;
      options.optimizer = name;
      options.weight_decay = 0.01;
      const Weights weights(options);
      const at::Tensor& values = weights.flat->values();
      for (int i = 0; i < 3; ++i)
        weights.optimizer->step(values, at::arange(values.numel(), at::kFloat).cos(), 1e-2, 0.5);
      return values.clone();
    };
    EXPECT_TRUE(run(1).equal(run(2))) << name;
  }
}

TEST(Optimizer, LeavesFrozenParametersAlone) {
  for (const char* const name : {"adam", "nag", "sgd", "adagrad", "adamax", "adafactor"}) {
    OptimizationOptions options;
    options.optimizer = name;
    options.weight_decay = 0.1;
    const Weights weights(options);
    weights.flat->freeze([](const std::string& p) { return p.find("fc1") != std::string::npos; });
    const at::Tensor &values = weights.flat->values(), &gradients = weights.flat->gradients();
    values.fill_(1);
    gradients.fill_(1);
    weights.flat->zero_frozen();
    weights.optimizer->step(values, gradients, 0.5, 1);
    for (std::size_t i = 0; i < weights.flat->slots().size(); ++i)
      EXPECT_EQ(weights.flat->view(values, i).ne(1).any().item<bool>(),
                weights.flat->slots()[i].name.find("fc1") == std::string::npos)
          << name << ", " << weights.flat->slots()[i].name;
  }
}

TEST(Optimizer, SaysWhatIsMissingForFairseqsOthers) {
  for (const char* const name : {"lamb", "composite", "adadelta", "cpu_adam"})
    btm_test::expect_error<compat::UsageError>([&] { optimizer_kind(name); }, "is not supported: ");
  btm_test::expect_error<compat::UsageError>([] { optimizer_kind("sdg\x1b"); },
                                             "'sdg\\x1b' is not supported (supported: adam, nag");
}

}  // namespace
}  // namespace btm
