#include "compat/huggingface/huggingface.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "compat/base/error.h"
#include "compat/huggingface/huggingface_folder.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::golden;
using compat::NamedTensors;

/// A golden folder that tests change.
struct Source {
  explicit Source(const std::string& name)
      : tensors(compat::hugging_face_tensors(golden("hf_import/" + name))),
        config(btm_test::read_file(golden("hf_import/" + name + "/config.json"))) {}

  void set(const std::string& key, const std::string& value) {
    config.replace(config.find('{'), 1, "{\"" + key + "\": " + value + ",");
  }
  void rename(const std::string& from, const std::string& to) {
    for (auto& [name, view] : tensors)
      if (name.starts_with(from)) name = to + name.substr(from.size());
  }
  compat::TensorView& at(std::string_view name) {
    return std::ranges::find(tensors, name,
                             [](const auto& item) { return std::string_view(item.first); })
        ->second;
  }
  compat::HuggingFaceModel read() const {
    return compat::read_hugging_face(
        tensors, compat::parse_hugging_face_config(config, "config.json"), "config.json");
  }

  NamedTensors tensors;
  std::string config;
};

const compat::ConfigValue* setting(const compat::HuggingFaceModel& model, std::string_view key) {
  return model.cfg.find("model")->find(key);
}

TEST(HuggingFace, KeepsTheLayerNormsEpsilonWhereItIsNotFairseqs) {
  EXPECT_EQ(setting(Source("gpt2_eps_0.001").read(), "layer_norm_epsilon")->to_text(), "0.001");
  EXPECT_EQ(setting(Source("gpt2_eps_1e-05").read(), "layer_norm_epsilon"), nullptr);
}

TEST(HuggingFace, ReadsTheBaseModelsNames) {
  for (const auto& [name, prefix] :
       {std::pair{"gpt2_eps_1e-05", "transformer."}, std::pair{"xglm_pad_1", "model."},
        std::pair{"opt_bin_index", "model."}}) {
    Source source(name);
    const auto expected = source.read();
    source.rename(prefix, "");
    const auto found = source.read();
    ASSERT_EQ(found.tensors.size(), expected.tensors.size()) << name;
    for (std::size_t i = 0; i < found.tensors.size(); ++i)
      EXPECT_EQ(found.tensors[i].first, expected.tensors[i].first) << name;
  }
}

TEST(HuggingFace, RefusesAModelWithoutOutputLayer) {
  Source source("gpt2_base_untied");
  expect_error<compat::UnsupportedError>(
      [&] { source.read(); }, "has no 'lm_head.weight', and tie_word_embeddings is false");
}

TEST(HuggingFace, RefusesAnOutputLayerThatIsNotTheEmbeddingItIsTiedTo) {
  Source source("gpt2_eps_1e-05");
  source.tensors.emplace_back("lm_head.weight", source.at("transformer.wte.weight"));
  source.read();
  const std::vector<float> other(64 * 24, 1);
  source.tensors.back().second = compat::TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(other))), {64, 24});
  expect_error<compat::FormatError>([&] { source.read(); },
                                    "'lm_head.weight' differs from the embedding");
}

TEST(HuggingFace, RefusesWhatCannotBeTheModel) {
  Source wrapped("gpt2_eps_1e-05");
  wrapped.rename("", "module.");
  expect_error<compat::UnsupportedError>(
      [&] { wrapped.read(); },
      "names begin with 'module.', a prefix that a wrapper of the model adds");
  Source compiled("xglm_pad_1");
  compiled.rename("", "_orig_mod.");
  expect_error<compat::UnsupportedError>([&] { compiled.read(); }, "names begin with '_orig_mod.'");
  Source integers("gpt2_eps_1e-05");
  const std::vector<std::byte> bytes(24 * 72);
  integers.at("transformer.h.1.attn.c_attn.weight") = compat::TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kInt8, bytes), {24, 72});
  expect_error<compat::UnsupportedError>(
      [&] { integers.read(); },
      "'transformer.h.1.attn.c_attn.weight' holds int8, expected floating point");
  Source heads("gpt2_eps_1e-05");
  heads.set("num_attention_heads", "7");
  expect_error<compat::FormatError>([&] { heads.read(); },
                                    "has 7 attention heads for a width of 24");
  Source more("xglm_pad_1");
  more.tensors.emplace_back("score.weight", more.at("model.layer_norm.weight"));
  expect_error<compat::UnsupportedError>(
      [&] { more.read(); },
      "has the tensor 'score.weight', which the model of config.json does not have");
}

}  // namespace
