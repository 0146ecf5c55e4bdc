#include "btm/trainer/fairseq_config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "btm/cli/train_flags.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/program/command_line.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using compat::ConfigValue;

/// The cfg.model of a run with `flags`, which spaces separate, on its command line.
ConfigValue::Dict model_of(const std::string& arch, const std::string& flags) {
  TrainOptions options;
  DistributedOptions distributed;
  const compat::CommandSpec spec = train_spec(options, distributed);
  std::vector<std::string> args{"data", "--arch", arch}, ignored;
  std::istringstream words(flags);
  for (std::string word; words >> word;) args.push_back(word);
  std::ostringstream out;
  EXPECT_TRUE(compat::parse_command_line(spec, args, out, ignored));
  const ConfigValue cfg =
      fairseq_config(options, TransformerConfig::from(model_config(options)), 1);
  for (const auto& [name, section] : std::get<ConfigValue::Dict>(cfg.value))
    if (name == "model") return std::get<ConfigValue::Dict>(section.value);
  return {};
}

nlohmann::json json_of(const ConfigValue& value) {
  if (const auto* flag = std::get_if<bool>(&value.value)) return *flag;
  if (const auto* integer = std::get_if<std::int64_t>(&value.value)) return *integer;
  if (const auto* real = std::get_if<double>(&value.value)) return *real;
  if (const auto* text = std::get_if<std::string>(&value.value)) return *text;
  return nullptr;
}

/// The values come from fairseq's parser, through scripts/make_model_defaults.py.
TEST(FairseqConfig, HasFairseqsDefaultOfEveryFlagOfTheModelInEveryArchitecture) {
  std::ifstream in(btm_test::golden("model_defaults.json"));
  const nlohmann::json table = nlohmann::json::parse(in);
  EXPECT_EQ(table.size(), 21U);
  for (const auto& [arch, rows] : table.items())
    for (const auto& [flags, expected] : rows.items()) {
      // fairseq's parser takes what its model then refuses.
      if (expected.at("decoder_embed_dim").get<int>() %
              expected.at("decoder_attention_heads").get<int>() !=
          0) {
        btm_test::expect_error<compat::FormatError>([&] { model_of(arch, flags); },
                                                    "is not a multiple");
        continue;
      }
      if (expected.at("tie_adaptive_weights").get<bool>() &&
          expected.at("decoder_output_dim") != expected.at("decoder_embed_dim")) {
        btm_test::expect_error<compat::FormatError>([&] { model_of(arch, flags); },
                                                    "tie_adaptive_weights");
        continue;
      }
      nlohmann::json found;
      for (const auto& [key, value] : model_of(arch, flags))
        if (expected.contains(key)) found[key] = json_of(value);
      EXPECT_EQ(found, expected) << arch << " " << flags;
    }
}

}  // namespace
}  // namespace btm
