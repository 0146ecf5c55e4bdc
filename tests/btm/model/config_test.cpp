#include "btm/model/config.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

TransformerConfig config_of(std::string_view model) {
  return TransformerConfig::from(compat::Config(
      compat::parse_python_literal("{'model': " + std::string(model) + "}"), "test.pt"));
}

TEST(TransformerConfig, TakesTheArchitecturesValuesWhereCfgHasNone) {
  struct Row {
    const char* arch;
    std::int64_t layers, width, ffn, heads;
    bool tied, learned, before;
    const char* activation;
  };
  for (const Row& row :
       {Row{"transformer_lm", 6, 512, 2048, 8, false, false, false, "relu"},
        Row{"transformer_lm_gpt3_small", 12, 768, 3072, 12, true, true, true, "gelu"},
        Row{"transformer_lm_gpt3_medium", 24, 1024, 4096, 16, true, true, true, "gelu"},
        Row{"transformer_lm_gpt3_large", 24, 1536, 6144, 16, true, true, true, "gelu"},
        Row{"transformer_lm_gpt3_xl", 24, 2048, 8192, 32, true, true, true, "gelu"}}) {
    const TransformerConfig config = config_of("{'_name': '" + std::string(row.arch) + "'}");
    EXPECT_EQ(config.decoder_layers, row.layers) << row.arch;
    EXPECT_EQ(config.decoder_embed_dim, row.width) << row.arch;
    EXPECT_EQ(config.decoder_ffn_embed_dim, row.ffn) << row.arch;
    EXPECT_EQ(config.decoder_attention_heads, row.heads) << row.arch;
    EXPECT_EQ(config.share_decoder_input_output_embed, row.tied) << row.arch;
    EXPECT_EQ(config.decoder_learned_pos, row.learned) << row.arch;
    EXPECT_EQ(config.decoder_normalize_before, row.before) << row.arch;
    EXPECT_EQ(config.activation_fn, row.activation) << row.arch;
  }
}

TEST(TransformerConfig, CfgDecidesNotTheName) {
  const TransformerConfig config = config_of(
      "{'_name': 'transformer_lm_gpt3_xl', 'decoder_layers': 2, 'decoder_embed_dim': 64, "
      "'decoder_attention_heads': 4, "
      "'activation_fn': 'relu', 'no_scale_embedding': True}");
  EXPECT_EQ(config.decoder_layers, 2);
  EXPECT_EQ(config.decoder_output_dim, 64);
  EXPECT_EQ(config.activation_fn, "relu");
  EXPECT_TRUE(config.no_scale_embedding);
}

TEST(TransformerConfig, RefusesAllThatIsNotSupportedInOneMessage) {
  const std::string message = btm_test::message_of<compat::UnsupportedError>([] {
    config_of(
        "{'_name': 'transformer_lm', 'character_embeddings': True, "
        "'quant_noise_pq': 0.1, 'activation_fn': 'swish'}");
  });
  for (const char* const reason : {"character embeddings", "quantization noise", "swish"})
    EXPECT_NE(message.find(reason), std::string::npos) << message;
}

TEST(TransformerConfig, ChecksSizes) {
  struct Row {
    const char* model;
    const char* phrase;
  };
  for (const Row& row :
       {Row{"{'decoder_layers': 0}", "cfg.model.decoder_layers"},
        Row{"{'decoder_layers': 1000000000}", "expected 1 to 1024"},
        Row{"{'decoder_embed_dim': -8}", "cfg.model.decoder_embed_dim"},
        Row{"{'decoder_attention_heads': 7}", "is not a multiple"},
        Row{"{'max_target_positions': 0}", "max_target_positions"},
        Row{"{'decoder_layers': 'six'}", "expected an int"},
        Row{"{'share_decoder_input_output_embed': True, 'decoder_input_dim': 64}", "shared"}})
    expect_error<compat::FormatError>([&] { config_of(row.model); }, row.phrase);
  expect_error<compat::UnsupportedError>([] { config_of("{'_name': 'lstm_lm'}"); },
                                         "architecture lstm_lm is not supported");
}

TEST(TransformerConfig, ReadsAdaptiveLayers) {
  const TransformerConfig wiki103 = config_of("{'_name': 'transformer_lm_wiki103'}");
  EXPECT_TRUE(wiki103.adaptive_input && wiki103.tie_adaptive_weights && wiki103.tie_adaptive_proj);
  EXPECT_EQ(wiki103.adaptive_softmax_cutoff, (std::vector<std::int64_t>{20000, 60000}));
  EXPECT_EQ(wiki103.adaptive_softmax_dropout, 0.2);
  EXPECT_TRUE(wiki103.no_decoder_final_norm);
  for (const char* const cutoff : {"'5,9'", "'[5, 9]'", "'(5,9)'", "[5, 9]"})
    EXPECT_EQ(config_of("{'adaptive_softmax_cutoff': " + std::string(cutoff) + "}")
                  .adaptive_softmax_cutoff,
              (std::vector<std::int64_t>{5, 9}));
  const TransformerConfig old = config_of(
      "{'_name': 'transformer_lm_wiki103', 'tie_adaptive_proj': False, 'no_tie_adaptive_proj': "
      "False}");
  EXPECT_TRUE(old.tie_adaptive_proj) << "an older switch";
}

TEST(TransformerConfig, RefusesAdaptiveLayersThatDoNotFit) {
  struct Row {
    const char* model;
    const char* phrase;
  };
  for (const Row& row :
       {Row{"'adaptive_softmax_cutoff': '9,5'", "is 9,5, expected ascending numbers from 1 on"},
        Row{"'adaptive_softmax_cutoff': '5,5'", "expected ascending"},
        Row{"'adaptive_softmax_cutoff': '0,5'", "expected ascending"},
        Row{"'adaptive_softmax_cutoff': '5,x'", "expected numbers separated by commas"},
        Row{"'adaptive_softmax_cutoff': '5,1.5'", "expected whole numbers"},
        Row{"'adaptive_softmax_cutoff': True", "expected whole numbers"},
        Row{"'adaptive_input': True", "cfg.model.adaptive_input_cutoff"},
        Row{"'adaptive_input': True, 'adaptive_input_cutoff': '5', "
            "'share_decoder_input_output_embed': True",
            "cfg.model.share_decoder_input_output_embed"},
        Row{"'adaptive_softmax_cutoff': '5', 'adaptive_softmax_factor': 0", "expected 1 to 1024"},
        Row{"'adaptive_softmax_cutoff': '5,6', 'adaptive_softmax_factor': 100",
            "leaves no width to band 2 of 512"},
        Row{"'adaptive_softmax_cutoff': '5', 'tie_adaptive_weights': True", "needs adaptive_input"},
        Row{"'adaptive_softmax_cutoff': '5', 'tie_adaptive_weights': True, 'adaptive_input': True, "
            "'adaptive_input_cutoff': '6'",
            "needs the same cutoffs, factors and widths"},
        Row{"'adaptive_softmax_dropout': 2", "expected a probability"}})
    expect_error<compat::FormatError>([&] { config_of("{" + std::string(row.model) + "}"); },
                                      row.phrase);
}

TEST(TransformerConfig, ReadsMixturesOfExperts) {
  const TransformerConfig dense = config_of("{'moe_expert_count': 8, 'moe_freq': 0}");
  EXPECT_EQ(dense.moe_freq, 0);
  EXPECT_FALSE(dense.is_mixture(0));
  // fairseq's keys alone
  const TransformerConfig theirs = config_of("{'moe_freq': 2, 'moe_expert_count': 8}");
  EXPECT_EQ(theirs.routing, Routing::kTop2);
  EXPECT_FALSE(theirs.is_mixture(0));
  EXPECT_TRUE(theirs.is_mixture(1));
  EXPECT_EQ(config_of("{'moe_freq': 1, 'moe_expert_count': 8, 'moe_top1_expert': True}").routing,
            Routing::kTop1);
  const TransformerConfig ours = config_of(
      "{'moe_freq': 1, 'moe_expert_count': 2, 'moe_top1_expert': True, 'moe_router': 'soft', "
      "'moe_experts': ['law', 'code']}");
  EXPECT_EQ(ours.routing, Routing::kSoft);
  EXPECT_EQ(ours.moe_experts, (std::vector<std::string>{"law", "code"}));
  EXPECT_EQ(differing_setting(ours, config_of("{'moe_freq': 1, 'moe_expert_count': 2}")),
            "moe_router is soft, expected top2");
}

TEST(TransformerConfig, RefusesImpossibleMixtures) {
  struct Row {
    const char *model, *phrase;
  };
  for (const Row& row :
       {Row{"{'moe_freq': 1}", "cfg.model.moe_expert_count]: is 0, expected 1 to 4096"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 5000}", "expected 1 to 4096"},
        Row{"{'moe_freq': -1, 'moe_expert_count': 2}",
            "cfg.model.moe_freq]: is -1, expected 1 to 6"},
        Row{"{'moe_freq': 7, 'moe_expert_count': 2}", "cfg.model.moe_freq]: is 7, expected 1 to 6"},
        Row{"{'moe_freq': 'all', 'moe_expert_count': 2}", "moe_freq"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 4096, 'decoder_layers': 17}",
            "is 4096, expected at most 65536 experts in all layers"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 2, 'moe_router': 'hash\x1b'}",
            "is hash\\x1b, expected top1, top2 or soft"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 2, 'moe_experts': ['law']}", "expected 2 names"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 2, 'moe_experts': ['law', 3]}",
            "expected 2 names"},
        Row{"{'moe_freq': 1, 'moe_expert_count': 2, 'moe_experts': 7}", "expected 2 names"}})
    expect_error<compat::FormatError>([&] { config_of(row.model); }, row.phrase);
}

TEST(TransformerConfig, TellsTheSettingInWhichTwoNetworksOfTheSameWeightsDiffer) {
  const std::string model = "'_name': 'transformer_lm', 'activation_fn': 'gelu'";
  EXPECT_EQ(differing_setting(config_of("{" + model + "}"), config_of("{" + model + "}")), "");
  EXPECT_EQ(
      differing_setting(config_of("{" + model + "}"), config_of("{'_name': 'transformer_lm'}")),
      "activation_fn is gelu, expected relu");
  EXPECT_EQ(differing_setting(config_of("{" + model + ", 'decoder_attention_heads': 4}"),
                              config_of("{" + model + "}")),
            "decoder_attention_heads is 4, expected 8");
  for (const std::string_view key : compat::kSettingsOutsideWeights) {
    const bool number = key == compat::kLayerNormEpsilonKey || key == "decoder_attention_heads";
    if (number || key == "activation_fn" || key == compat::kMoeRouterKey) continue;
    const std::string set = "'" + std::string(key) + "': ";
    EXPECT_EQ(differing_setting(config_of("{" + model + ", " + set + "True}"),
                                config_of("{" + model + ", " + set + "False}")),
              std::string(key) + " is True, expected False");
  }
  EXPECT_EQ(differing_setting(config_of("{" + model + ", 'layer_norm_epsilon': 1e-06}"),
                              config_of("{" + model + "}")),
            "layer_norm_epsilon is 1e-06, expected 1e-05");
}

}  // namespace
}  // namespace btm
