#include "btm/trainer/ema.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "btm/model/tensor_bridge.h"
#include "btm/trainer/initialise.h"
#include "btm/trainer/state_dict.h"
#include "compat/base/error.h"
#include "compat/checkpoint/stored_ema.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using compat::NamedTensors;
using compat::PickleDict;

constexpr TrainingPrecision kFp32{};
constexpr TrainingPrecision kHalf{at::kHalf, true, false};

TransformerConfig tied_config() {
  TransformerConfig config;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 6;
  config.decoder_ffn_embed_dim = 10;
  config.decoder_layers = 1;
  config.decoder_attention_heads = 2;
  config.share_decoder_input_output_embed = config.decoder_learned_pos =
      config.decoder_normalize_before = true;
  config.max_target_positions = 8;
  return config;
}

EmaOptions with_decay(double decay) {
  EmaOptions options;
  options.store = true;
  options.decay = decay;
  return options;
}

/// A model whose weights a test sets, and its average.
struct Averaged {
  explicit Averaged(const EmaOptions& options, const TrainingPrecision& precision = kFp32)
      : model(config, 11) {
    initialise(model, 1);
    flat = std::make_unique<FlatParameters>(model, at::kFloat, at::kCPU);
    ema = std::make_unique<Ema>(*flat, config, precision, options);
  }
  /// Sets all weights to `value` and makes update number `update`.
  void update(std::int64_t update, double value) {
    const at::NoGradGuard no_grad;
    flat->values().fill_(value);
    ema->step(update);
  }
  /// A checkpoint with the weights and the average, after `change` of its extra_state.
  compat::Checkpoint saved(const std::filesystem::path& file,
                           const std::function<void(PickleDict& extra)>& change = {}) const {
    compat::PickleArena arena;
    PickleDict root, extra, ours;
    ema->save(arena, extra, ours);
    arena.put(extra, "btm", arena.make(std::move(ours)));
    if (change) change(extra);
    arena.put(root, "cfg", arena.make(PickleDict{}));
    arena.put(root, "extra_state", arena.make(std::move(extra)));
    compat::save_checkpoint(
        file, *compat::with_model(arena, *arena.make(std::move(root)),
                                  state_dict(*flat, flat->values(), config, kDecoderVersion)));
    return compat::Checkpoint::open(file);
  }

  const TransformerConfig config = tied_config();
  TransformerLM model;
  std::unique_ptr<FlatParameters> flat;
  std::unique_ptr<Ema> ema;
};

std::map<std::string, float> first_values(const NamedTensors& tensors) {
  std::map<std::string, float> values;
  for (const auto& [name, view] : tensors)
    values[name] = to_tensor(view, at::kFloat, at::kCPU).flatten()[0].item<float>();
  return values;
}

constexpr const char* kWeight = "decoder.layers.0.fc1.weight";
constexpr const char* kEmbedding = "decoder.embed_tokens.weight";
constexpr const char* kNorm = "decoder.layer_norm.weight";

TEST(Ema, StartsFromTheWeightsOfTheFirstUpdateAndFollowsThem) {
  const btm_test::TempDir dir;
  Averaged averaged(with_decay(0.75));
  averaged.update(1, 1);
  averaged.update(2, 3);  // 0.75 + 0.25 * 3 = 1.5; the tied embedding: 0.75 * 1.5 + 0.25 * 3
  const auto values = first_values(compat::stored_ema(averaged.saved(dir / "a.pt")));
  EXPECT_EQ(values.at(kWeight), 1.5F);
  EXPECT_EQ(values.at(kEmbedding), 1.875F);
  EXPECT_EQ(values.at("decoder.output_projection.weight"), 1.875F);
  EXPECT_EQ(values.at(kNorm), 1.5F);
}

TEST(Ema, CopiesBeforeTheStartAndStepsAtItsFrequency) {
  const btm_test::TempDir dir;
  EmaOptions options = with_decay(0.5);
  options.start_update = 4;
  options.update_freq = 2;
  Averaged averaged(options);
  for (int update = 1; update <= 5; ++update) averaged.update(update, update);
  EXPECT_EQ(averaged.ema->decay(), 0.5);
  // A step at update 2, of decay 0: 2; at update 4, of decay 1/2: 3; none at update 5.
  EXPECT_EQ(first_values(compat::stored_ema(averaged.saved(dir / "a.pt"))).at(kWeight), 3);
}

TEST(Ema, SavesWhatFairseqSaves) {
  const btm_test::TempDir dir;
  EmaOptions options = with_decay(0.5);
  options.fp32 = true;
  Averaged averaged(options, kHalf);
  averaged.update(1, 1);
  averaged.update(2, 1 + 2.0F / 1024);
  averaged.update(3, 1);
  const compat::Checkpoint file = averaged.saved(dir / "a.pt");
  const compat::PickleNode& ema = *file.find_entry("extra_state")->find("ema");
  EXPECT_TRUE(ema.get_if<PickleDict>()->ordered);
  const auto values = first_values(compat::named_tensors(ema, "a.pt"));
  EXPECT_FALSE(values.contains(kNorm));
  EXPECT_EQ(values.at("decoder.version"), 1);
  EXPECT_EQ(values.at(kWeight), 1) << "1 + 0.5/1024 rounds to 1 in fp16";
  const auto masters = first_values(compat::stored_ema_masters(file));
  EXPECT_EQ(masters.at(kWeight), 1 + 0.5F / 1024);
  EXPECT_EQ(masters.at(kEmbedding), 1 + 0.5F / 1024) << "decays once";
  EXPECT_EQ(masters.at(kNorm), 1 + 0.5F / 1024);
  EXPECT_EQ(masters.at("decoder.version"), 3);
}

TEST(Ema, ContinuesExactlyFromACheckpoint) {
  for (const TrainingPrecision& precision : {kFp32, kHalf})
    for (const bool fp32 : {false, true}) {
      const btm_test::TempDir dir;
      EmaOptions options = with_decay(0.9);
      options.fp32 = fp32;
      options.update_freq = 3;
      Averaged whole(options, precision), second(options, precision);
      for (int update = 1; update <= 5; ++update) whole.update(update, 1.0 / update);
      second.ema->restore(whole.saved(dir / "a.pt"));
      for (int update = 6; update <= 8; ++update) {
        whole.update(update, 1.0 / update);
        second.update(update, 1.0 / update);
      }
      const auto expected = whole.saved(dir / "b.pt"), found = second.saved(dir / "c.pt");
      EXPECT_EQ(first_values(compat::stored_ema(found)),
                first_values(compat::stored_ema(expected)));
      EXPECT_EQ(first_values(compat::stored_ema_masters(found)),
                first_values(compat::stored_ema_masters(expected)));
    }
}

TEST(Ema, StartsFromTheWeightsOfACheckpointWithoutAnAverage) {
  const btm_test::TempDir dir;
  Averaged first(with_decay(0.5)), second(with_decay(0.5));
  second.flat->values().fill_(1);
  second.ema->restore(first.saved(dir / "none.pt"));
  second.update(1, 3);
  EXPECT_EQ(first_values(compat::stored_ema(second.saved(dir / "a.pt"))).at(kWeight), 2);
}

TEST(Ema, StartsFromTheAverageOfASeedModel) {
  const btm_test::TempDir dir;
  Averaged first(with_decay(0.5));
  first.update(1, 5);
  first.saved(dir / "seed.pt");
  EmaOptions options = with_decay(0.5);
  options.seed_model = (dir / "seed.pt").string();
  Averaged second(options);
  second.update(1, 1);
  EXPECT_EQ(first_values(compat::stored_ema(second.saved(dir / "a.pt"))).at(kWeight), 3);
  options.seed_model = btm_test::golden("checkpoints/seed/checkpoint_last.pt").string();
  btm_test::expect_error<compat::FormatError>([&] { Averaged third(options); },
                                              "[extra_state.ema]: is missing");
}

/// Changes the tensors of extra_state.ema.
std::function<void(PickleDict&)> changing_ema(const std::function<void(PickleDict& ema)>& change) {
  return [change](PickleDict& extra) {
    for (auto& [key, value] : extra.items)
      if (*key->get_if<std::string>() == "ema") change(*value->get_if<PickleDict>());
  };
}

TEST(Ema, RefusesAveragesThatDoNotFit) {
  const std::string name = "[extra_state.ema." + std::string(kWeight) + "]: ";
  const auto named = [](const auto& item) {
    return *item.first->template get_if<std::string>() == kWeight;
  };
  const auto replaced = [&](const at::Tensor& tensor) {
    return changing_ema([=](PickleDict& ema) {
      for (auto& item : ema.items)
        if (named(item)) item.second->get_if<compat::PickleTensor>()->view = to_view(tensor);
    });
  };
  const std::vector<std::pair<std::function<void(PickleDict&)>, std::string>> bad{
      {replaced(at::zeros({3})), "has shape [3], expected [10, 6]"},
      {replaced(at::zeros({10, 6}, at::kLong)), "holds int64, expected floating point"},
      {replaced(at::full({10, 6}, std::nan(""))), "holds NaN or infinity"},
      {changing_ema([&](PickleDict& ema) { std::erase_if(ema.items, named); }), "is missing"}};
  for (const auto& [change, problem] : bad) {
    const btm_test::TempDir dir;
    Averaged averaged(with_decay(0.5));
    averaged.update(1, 1);
    const compat::Checkpoint file = averaged.saved(dir / "a.pt", change);
    btm_test::expect_error<compat::FormatError>([&] { averaged.ema->restore(file); },
                                                name + problem);
  }
}

}  // namespace
}  // namespace btm
