#include "compat/fairseq/network_settings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;

/// A configuration whose model section is the Python dict `model`.
Config with_model(const std::string& model) {
  return Config(parse_python_literal("{'model': " + model + "}"), "f");
}

TEST(WrittenDifference, NamesTheFirstSettingThatDiffers) {
  struct Row {
    const char *found, *expected, *difference;
  };
  const std::vector<Row> rows{
      {"{}", "{}", ""},
      {"{'activation_fn': 'relu'}", "{'activation_fn': 'relu'}", ""},
      {"{'activation_fn': 'relu'}", "{}", ""},  // an architecture's default is not known
      {"{'activation_fn': None}", "{'activation_fn': 'relu'}", ""},
      {"{'decoder_layers': 2}", "{'decoder_layers': 3}", ""},  // the weights' shapes show it
      {"{'activation_fn': 'gelu'}", "{'activation_fn': 'relu'}",
       "activation_fn is gelu, expected relu"},
      {"{'decoder_attention_heads': 4, 'no_scale_embedding': True}",
       "{'decoder_attention_heads': 8, 'no_scale_embedding': False}",
       "decoder_attention_heads is 4, expected 8"},
      {"{'no_scale_embedding': True}", "{'no_scale_embedding': False}",
       "no_scale_embedding is True, expected False"},
      {"{'activation_fn': '\\x1b[2J'}", "{'activation_fn': 'relu'}",
       "activation_fn is \\x1b[2J, expected relu"},
      // An epsilon that is not written is fairseq's.
      {"{'layer_norm_epsilon': 1e-6}", "{}", "layer_norm_epsilon is 1e-06, expected 1e-05"},
      {"{}", "{'layer_norm_epsilon': 1e-6}", "layer_norm_epsilon is 1e-05, expected 1e-06"},
      {"{'layer_norm_epsilon': 1e-5}", "{}", ""},
  };
  for (const Row& row : rows)
    EXPECT_EQ(written_difference(with_model(row.found), with_model(row.expected)), row.difference)
        << row.found << " beside " << row.expected;
}

TEST(LayerNormEpsilon, IsANumberFrom0To1) {
  EXPECT_EQ(layer_norm_epsilon(with_model("{}")), 1e-5);
  EXPECT_EQ(layer_norm_epsilon(with_model("{'layer_norm_epsilon': 1e-6}")), 1e-6);
  EXPECT_EQ(layer_norm_epsilon(with_model("{'layer_norm_epsilon': 0}")), 0);
  EXPECT_EQ(layer_norm_epsilon(with_model("{'layer_norm_epsilon': 1}")), 1);
  const std::vector<std::pair<const char*, const char*>> rows{
      {"-1e-9", "expected 0 to 1"},
      {"1.5", "expected 0 to 1"},
      {"1e999", "expected 0 to 1"},
      {"'1e-5'", "f[cfg.model.layer_norm_epsilon]: is 1e-5, expected a number"},
      {"[1e-5]", "expected a number"},
      {"True", "expected a number"},
  };
  for (const auto& [value, phrase] : rows) {
    SCOPED_TRACE(value);
    expect_error<FormatError>(
        [&value = value] {
          layer_norm_epsilon(with_model("{'layer_norm_epsilon': " + std::string(value) + "}"));
        },
        phrase);
  }
}

TEST(LayerNormEpsilon, IsNoNan) {
  Config config(ConfigValue{ConfigValue::Dict{
                    {"model", {ConfigValue::Dict{{"layer_norm_epsilon", {std::nan("")}}}}}}},
                "f");
  expect_error<FormatError>([&] { layer_norm_epsilon(config); }, "is nan, expected 0 to 1");
}

TEST(UnsupportedSettings, NamesEachThatIsSet) {
  struct Row {
    const char *model, *activation, *reasons;
  };
  const std::vector<Row> rows{
      {"{}", "relu", ""},
      {"{'alibi': False, 'base_layers': 0, 'quant_noise_pq': 0.0, 'moe_freq': None}", "gelu", ""},
      {"{'decoder_layers_to_keep': '', 'adaptive_softmax_cutoff': None}", "gelu_accurate", ""},
      {"{'alibi': True}", "relu", "ALiBi positions (alibi=True)"},
      {"{'adaptive_softmax_cutoff': '100,200'}", "relu",
       "adaptive softmax (adaptive_softmax_cutoff=100,200)"},
      {"{'adaptive_softmax_cutoff': [100]}", "relu",
       "adaptive softmax (adaptive_softmax_cutoff=[100])"},
      {"{'quant_noise_pq': 0.1}", "relu", "quantization noise (quant_noise_pq=0.1)"},
      {"{'base_layers': 1, 'scale_fc': True}", "relu",
       "BASE layers (base_layers=1), NormFormer (scale_fc=True)"},
      {"{'moe_freq': 2, 'moe_expert_count': 8}", "gelu", ""},
      {"{'use_alibi': True}", "swish", "ALiBi positions (use_alibi=True), activation swish"},
      {"{}", "\x1b[2J", "activation \\x1b[2J"},
      {"{}", "", "activation "},
      {"{'add_adapters': '\\x1b'}", "relu", "adapters (add_adapters=\\x1b)"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(unsupported_settings(with_model(row.model), row.activation), row.reasons)
        << row.model;
}

TEST(HasMixtures, GoesByTheFrequency) {
  EXPECT_FALSE(has_mixtures(with_model("{}")));
  EXPECT_FALSE(has_mixtures(with_model("{'moe_freq': 0, 'moe_expert_count': 8}")));
  EXPECT_FALSE(has_mixtures(with_model("{'moe_freq': None}")));
  EXPECT_TRUE(has_mixtures(with_model("{'moe_freq': 1, 'moe_expert_count': 8}")));
}

}  // namespace
}  // namespace compat
