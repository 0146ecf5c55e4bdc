#include "btm/trainer/optimizer_state.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "btm/trainer/initialise.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::golden;

TransformerConfig golden_config(std::int64_t ffn) {
  TransformerConfig config;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 64;
  config.decoder_ffn_embed_dim = ffn;
  config.decoder_layers = 2;
  config.decoder_attention_heads = 4;
  config.share_decoder_input_output_embed = config.decoder_learned_pos =
      config.decoder_normalize_before = true;
  config.max_target_positions = 128;
  return config;
}

struct TinyModel {
  TinyModel(const TransformerConfig& config, const TrainingPrecision& precision,
            const OptimizationOptions& options = {})
      : model(config, 2112) {
    initialise(model, 1);
    flat = std::make_unique<FlatParameters>(model, at::kFloat, at::kCPU);
    LossScalerOptions scaler;
    scaler.scale_window = 10;
    optimizer = std::make_unique<ParameterOptimizer>(*flat, precision,
                                                     Optimizer::make(options, 1e-2, *flat), scaler);
  }
  TransformerLM model;
  std::unique_ptr<FlatParameters> flat;
  std::unique_ptr<ParameterOptimizer> optimizer;
};

constexpr TrainingPrecision kFp32{};
constexpr TrainingPrecision kFp16{at::kHalf, false, true};
constexpr TrainingPrecision kMemoryEfficientFp16{at::kHalf, true, false};
constexpr TrainingPrecision kBf16{at::kBFloat16, false, false};

/// A number of the optimizer's group.
double number_of(const TinyModel& setup, std::string_view key, std::size_t item = 0) {
  const compat::ConfigValue& value = *setup.optimizer->state().option(key);
  const auto* list = std::get_if<compat::ConfigValue::List>(&value.value);
  return std::get<double>(list != nullptr ? list->at(item).value : value.value);
}

at::Tensor tensor_of(const TinyModel& setup, std::size_t slot, std::string_view key) {
  for (const auto& [name, tensor, derived] : setup.optimizer->state().state_of(slot))
    if (name == key) return tensor;
  return {};
}

TEST(OptimizerState, ReadsFairseqsEntriesPerParameter) {
  const auto checkpoint = compat::Checkpoint::open(golden("training/single/checkpoint_1_20.pt"));
  TinyModel setup(golden_config(256), kFp32);
  load_optimizer_state(*setup.optimizer, *checkpoint.find_entry("last_optimizer_state"),
                       compat::parse_python_literal("{}"), "file.pt");
  EXPECT_EQ(setup.optimizer->state().steps(), 20);
  EXPECT_EQ(number_of(setup, "betas", 1), 0.95) << "of the file, as in fairseq";
  EXPECT_EQ(number_of(setup, "eps"), 1e-7);
  EXPECT_GT(tensor_of(setup, 0, "exp_avg_sq").min().item<float>(), -1e-30);
  EXPECT_GT(tensor_of(setup, 35, "exp_avg_sq").max().item<float>(), 0);
}

TEST(OptimizerState, ReadsFairseqsFlatEntryIntoAnyLayout) {
  const auto checkpoint = compat::Checkpoint::open(golden("training/half/fp16/checkpoint_1_20.pt"));
  const compat::PickleNode& state = *checkpoint.find_entry("last_optimizer_state");
  TinyModel flat(golden_config(128), kFp16), single(golden_config(128), kFp32);
  for (TinyModel* setup : {&flat, &single})
    load_optimizer_state(*setup->optimizer, state, compat::parse_python_literal("{}"), "file.pt");
  for (std::size_t i = 0; i < flat.flat->slots().size(); ++i)
    EXPECT_TRUE(tensor_of(flat, i, "exp_avg").equal(tensor_of(single, i, "exp_avg"))) << i;
  EXPECT_EQ(flat.optimizer->loss_scale(), 512);
  EXPECT_EQ(single.optimizer->loss_scale(), 1);
}

OptimizationOptions options_of(const std::string& optimizer) {
  OptimizationOptions options;
  options.optimizer = optimizer;
  options.momentum = 0.5;
  options.weight_decay = 0.1;
  options.beta1 = 0.9;
  return options;
}

TEST(OptimizerState, WritesWhatItReadsOfEveryOptimizerInEveryPrecision) {
  for (const char* const name : {"adam", "nag", "sgd", "adagrad", "adafactor", "adamax"})
    for (const TrainingPrecision& precision : {kFp32, kFp16, kMemoryEfficientFp16, kBf16}) {
      if (precision.flat_state && !optimizer_kind(name).flat) continue;
      TinyModel from(golden_config(32), precision, options_of(name));
      OptimizationOptions other = options_of(name);
      other.weight_decay = 0.2;
      other.momentum = 0.6;
      TinyModel to(golden_config(32), precision, other);
      from.flat->gradients().copy_(at::arange(from.flat->size(), at::kFloat).sin());
      EXPECT_TRUE(from.optimizer->step(1e-2, 1, 0).updated);
      compat::PickleArena arena;
      const compat::PickleNode* const state = optimizer_state(arena, *from.optimizer, 1e-2);
      const auto* entries = state->find("state")->get_if<compat::PickleDict>();
      EXPECT_EQ(entries->items.size(), precision.flat_state ? 1U : from.flat->slots().size());
      EXPECT_EQ(state->find("loss_scale") != nullptr, precision.half == at::kHalf);
      load_optimizer_state(*to.optimizer, *state, compat::parse_python_literal("{}"), "file.pt");
      for (std::size_t i = 0; i < from.flat->slots().size(); ++i)
        for (const auto& [key, tensor, derived] : from.optimizer->state().state_of(i))
          EXPECT_TRUE(derived || tensor.equal(tensor_of(to, i, key))) << name << " " << i << key;
      EXPECT_EQ(to.optimizer->state().steps(), 1) << name;
      EXPECT_EQ(number_of(to, "weight_decay"), 0.1) << name;
    }
}

TEST(OptimizerState, AdagradHasEntriesBeforeItsFirstUpdateAndSgdWithoutMomentumNever) {
  const auto entries = [](const OptimizationOptions& options, bool step) {
    TinyModel setup(golden_config(32), kFp32, options);
    if (step) setup.optimizer->step(1e-2, 1, 0);
    compat::PickleArena arena;
    return optimizer_state(arena, *setup.optimizer, 1e-2)
        ->find("state")
        ->get_if<compat::PickleDict>()
        ->items.size();
  };
  EXPECT_GT(entries(options_of("adagrad"), false), 1U);  // torch's Adagrad cannot do without
  EXPECT_EQ(entries(options_of("nag"), false), 0U);
  OptimizationOptions plain = options_of("sgd");
  plain.momentum = 0;
  EXPECT_EQ(entries(plain, true), 0U);
}

TEST(OptimizerState, KeepsTheFp32WeightsBesideUnlessTheModelChanged) {
  TinyModel from(golden_config(32), kFp16), to(golden_config(32), kFp16);
  from.flat->gradients().copy_(at::arange(from.flat->size(), at::kFloat).sin());
  from.optimizer->step(1e-3, 1, 0);
  compat::PickleArena arena;
  const compat::PickleNode* const state = exact_state(arena, *from.optimizer);
  to.flat->values().copy_(from.flat->values());
  to.optimizer->weights_replaced(false);
  EXPECT_FALSE(to.flat->view(to.optimizer->masters(), 0)
                   .equal(from.flat->view(from.optimizer->masters(), 0)));
  EXPECT_TRUE(load_exact_state(*to.optimizer, *state, "file.pt"));
  EXPECT_TRUE(to.flat->view(to.optimizer->masters(), 0)
                  .equal(from.flat->view(from.optimizer->masters(), 0)));
  EXPECT_EQ(to.optimizer->scaler()->state().iteration, 1);
  to.flat->values().mul_(0.5);
  to.optimizer->weights_replaced(false);
  EXPECT_FALSE(load_exact_state(*to.optimizer, *state, "file.pt"))
      << "an averaged model's fp32 weights are not these";
  EXPECT_TRUE(to.optimizer->masters().equal(to.flat->values()));
  TinyModel fp32(golden_config(32), kFp32);
  EXPECT_EQ(exact_state(arena, *fp32.optimizer), nullptr);
}

TEST(OptimizerState, OverridesReplaceTheFilesOptions) {
  const auto checkpoint = compat::Checkpoint::open(golden("training/single/checkpoint_1_20.pt"));
  TinyModel setup(golden_config(256), kFp32);
  load_optimizer_state(*setup.optimizer, *checkpoint.find_entry("last_optimizer_state"),
                       compat::parse_python_literal("{'eps': 1e-6, 'weight_decay': 0}"), "file.pt");
  EXPECT_EQ(number_of(setup, "eps"), 1e-6);
  EXPECT_EQ(number_of(setup, "weight_decay"), 0);
}

TEST(OptimizerState, RefusesOverridesOfAnotherKind) {
  const auto checkpoint = compat::Checkpoint::open(golden("training/single/checkpoint_1_20.pt"));
  TinyModel setup(golden_config(256), kFp32);
  for (const char* const overrides :
       {"{'betas': '(0.9, 0.95)'}", "{'betas': [0.9]}", "{'betas': 0.5}", "{'betas': [0.9, 'x']}",
        "{'eps': 'small'}"})
    btm_test::expect_error<std::runtime_error>(
        [&] {
          load_optimizer_state(*setup.optimizer, *checkpoint.find_entry("last_optimizer_state"),
                               compat::parse_python_literal(overrides), "file.pt");
        },
        "--optimizer-overrides");
  load_optimizer_state(*setup.optimizer, *checkpoint.find_entry("last_optimizer_state"),
                       compat::parse_python_literal("{'betas': (0.5, 0.75)}"), "file.pt");
}

/// A node made by hand.
class Bad {
 public:
  compat::PickleNode* dict(std::vector<std::pair<std::string, compat::PickleNode*>> items) {
    compat::PickleDict out;
    for (auto& [key, value] : items) out.items.emplace_back(arena.string(key), value);
    return arena.make(std::move(out));
  }
  compat::PickleNode* list(std::vector<compat::PickleNode*> items) {
    return arena.make(compat::PickleList{std::move(items)});
  }
  compat::PickleNode* state(compat::PickleNode* entry, std::size_t params) {
    std::vector<compat::PickleNode*> indices;
    for (std::size_t i = 0; i < params; ++i)
      indices.push_back(arena.integer(static_cast<std::int64_t>(i)));
    compat::PickleDict entries;
    entries.items.emplace_back(arena.integer(0), entry);
    return dict({{"state", arena.make(std::move(entries))},
                 {"param_groups", list({dict({{"params", list(indices)}})})}});
  }
  compat::PickleArena arena;
};

TEST(OptimizerState, SaysWhatIsWrongWithAFile) {
  TinyModel setup(golden_config(32), kFp32);
  const std::size_t slots = setup.flat->slots().size();
  Bad bad;
  compat::PickleNode* const vector = bad.arena.tensor(compat::TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kFloat32, std::vector<std::byte>(12)), {3}));
  struct Row {
    compat::PickleNode* state;
    std::string phrase;
  };
  const std::vector<Row> rows{
      {bad.dict({}), "last_optimizer_state.param_groups]: is missing"},
      {bad.dict({{"param_groups", bad.arena.integer(1)}}), "is the int 1, expected a list"},
      {bad.dict({{"param_groups", bad.list({})}}), "param_groups]: is empty"},
      {bad.dict({{"param_groups", bad.list({bad.dict({{"params", bad.list({})},
                                                      {"betas", bad.arena.integer(1)}})})}}),
       "expected two numbers"},
      {bad.dict({{"param_groups", bad.list({bad.dict({{"params", bad.list({})}})})}}),
       "state]: is missing"},
      {bad.state(bad.dict({}), 3), "names 3 parameters, the model has " + std::to_string(slots)},
      {bad.state(bad.dict({}), slots), "state[0].step]: is missing"},
      {bad.state(bad.dict({{"step", bad.arena.string("x")}}), slots),
       "holds the string 'x', expected an int"},
      {bad.state(bad.dict({{"step", bad.arena.integer(1)}}), slots),
       "state[0].exp_avg]: is missing"},
      {bad.state(bad.dict({{"step", bad.arena.integer(1)}, {"exp_avg", bad.arena.integer(1)}}),
                 slots),
       "is the int 1, expected a tensor"},
      {bad.state(bad.dict({{"step", bad.arena.integer(1)}, {"exp_avg", vector}}), slots),
       "has 3 elements, the model has 135168"},
  };
  for (const Row& row : rows)
    btm_test::expect_error<compat::FormatError>(
        [&] {
          load_optimizer_state(*setup.optimizer, *row.state, compat::parse_python_literal("{}"),
                               "file.pt");
        },
        row.phrase);
}

}  // namespace
}  // namespace btm
