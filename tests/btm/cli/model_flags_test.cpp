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

TEST(ModelFlags, RefuseAValueOfAnotherType) {
  const compat::Config config = config_of({{"decoder_layers", {std::string("three")}}});
  btm_test::expect_error<compat::FormatError>([&] { model_flags(config); }, "decoder_layers");
}

}  // namespace
}  // namespace btm
