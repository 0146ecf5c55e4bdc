#include "btm/cli/model_flags.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "btm/cli/train_flags.h"
#include "btm/trainer/fairseq_config.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/flag_table.h"

namespace btm {
namespace {

using compat::ConfigValue;

/// The model that btm train makes with these flags.
TransformerConfig trained_with(std::vector<std::string> flags) {
  TrainOptions options;
  DistributedOptions distributed;
  flags.insert(flags.begin(), "DATA");
  btm_test::parsed(train_spec(options, distributed), flags);
  return TransformerConfig::from(model_config(options));
}

TEST(ModelFlags, MakeAModelOfTheSameForm) {
  const auto config =
      compat::Checkpoint::open(btm_test::golden("checkpoints/elm_fortunes/checkpoint_last.pt"))
          .config();
  const TransformerConfig wanted = TransformerConfig::from(config);
  const TransformerConfig made = trained_with(model_flags(config));
  EXPECT_EQ(made.arch, wanted.arch);
  EXPECT_EQ(made.decoder_layers, wanted.decoder_layers);
  EXPECT_EQ(made.decoder_embed_dim, wanted.decoder_embed_dim);
  EXPECT_EQ(made.decoder_ffn_embed_dim, wanted.decoder_ffn_embed_dim);
  EXPECT_EQ(made.decoder_attention_heads, wanted.decoder_attention_heads);
  EXPECT_EQ(made.share_decoder_input_output_embed, wanted.share_decoder_input_output_embed);
  EXPECT_EQ(made.max_target_positions, wanted.max_target_positions);
}

/// A configuration with these keys of its model.
compat::Config config_of(ConfigValue::Dict model) {
  model.emplace_back("_name", ConfigValue{std::string("transformer_lm")});
  return compat::Config(ConfigValue{
      ConfigValue::Dict{{"model", {std::move(model)}},
                        {"task", {ConfigValue::Dict{{"tokens_per_sample", {std::int64_t{64}}}}}}}});
}

TEST(ModelFlags, NameWhatTheConfigurationHas) {
  EXPECT_EQ(model_flags(config_of({{"decoder_layers", {std::int64_t{3}}},
                                   {"decoder_input_dim", {std::int64_t{8}}},
                                   {"dropout", {0.25}},
                                   {"no_scale_embedding", {true}},
                                   {"decoder_learned_pos", {false}}})),
            (std::vector<std::string>{"--arch", "transformer_lm", "--decoder-layers", "3",
                                      "--decoder-input-dim", "8", "--tokens-per-sample", "64",
                                      "--dropout", "0.25", "--no-scale-embedding"}));
}

TEST(TrainingFlags, TrainAsACheckpointWas) {
  const auto config =
      compat::Checkpoint::open(btm_test::golden("checkpoints/elm_fortunes/checkpoint_last.pt"))
          .config();
  std::vector<std::string> flags = training_flags(config);
  TrainOptions options;
  DistributedOptions distributed;
  flags.insert(flags.begin(), "DATA");
  btm_test::parsed(train_spec(options, distributed), flags);
  EXPECT_EQ(options.optimization.max_update, config.get_int("optimization", "max_update", -1));
  EXPECT_EQ(options.dataset.batch_size, config.get_int("dataset", "batch_size", -1));
  EXPECT_EQ(options.optimization.clip_norm, config.get_float("optimization", "clip_norm", -1));
  EXPECT_EQ(options.lr.warmup_updates, config.get_int("lr_scheduler", "warmup_updates", -1));
}

TEST(TrainingFlags, LetAScheduleEndWithTheUpdates) {
  const auto of = [](double total) {
    using Dict = ConfigValue::Dict;
    return training_flags(compat::Config(ConfigValue{Dict{
        {"optimization",
         {Dict{{"max_update", {std::int64_t{120}}},
               {"update_freq", {ConfigValue::List{{std::int64_t{2}}, {std::int64_t{4}}}}}}}},
        {"optimizer", {Dict{{"_name", {std::string("adam")}}}}},
        {"checkpoint",
         {Dict{{"no_epoch_checkpoints", {true}}, {"keep_interval_updates", {std::int64_t{-1}}}}}},
        {"lr_scheduler", {Dict{{"total_num_update", {total}}}}}}}));
  };
  EXPECT_EQ(of(120), (std::vector<std::string>{"--optimizer", "adam", "--update-freq", "2,4",
                                               "--max-update", "120", "--no-epoch-checkpoints"}));
  const std::vector<std::string> other = of(240);
  EXPECT_NE(std::ranges::find(other, "--total-num-update"), other.end());
}

TEST(ModelFlags, RefuseAValueOfAnotherType) {
  const compat::Config config = config_of({{"decoder_layers", {std::string("three")}}});
  btm_test::expect_error<compat::FormatError>([&] { model_flags(config); }, "decoder_layers");
}

}  // namespace
}  // namespace btm
