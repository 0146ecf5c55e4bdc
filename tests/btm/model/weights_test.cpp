#include "btm/model/weights.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

class LoadModelTest : public testing::Test {
 protected:
  static compat::Checkpoint perl() {
    return compat::Checkpoint::open(golden("checkpoints/elm_perl/checkpoint_last.pt"));
  }
  std::unique_ptr<TransformerLM> load(const compat::Checkpoint& checkpoint,
                                      const Precision& precision = {}) const {
    return load_model(checkpoint, dictionary_, "dict.txt", precision);
  }
  /// The checkpoint's model with `change` applied to its tensors, written and opened again.
  template <class Change>
  compat::Checkpoint changed(Change&& change) {
    const compat::Checkpoint original = perl();
    compat::NamedTensors tensors = original.model();
    change(tensors);
    compat::PickleArena arena;
    compat::save_checkpoint(folder_ / "changed.pt",
                            *compat::with_model(arena, original.root(), tensors));
    return compat::Checkpoint::open(folder_ / "changed.pt");
  }
  static std::size_t place_of(const compat::NamedTensors& tensors, std::string_view name) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i].first == name) return i;
    throw std::logic_error("no tensor of that name");
  }

  btm_test::TempDir folder_;
  compat::Dictionary dictionary_ = compat::Dictionary::load(golden("data-bin/dict.txt"));
};

at::Tensor features_of(const TransformerLM& model) {
  return model.features(at::arange(4, 20, at::kLong).view({2, 8}));
}

TEST_F(LoadModelTest, CopiesNothingThatIsInPlace) {
  const compat::Checkpoint checkpoint = perl();
  const auto model = load(checkpoint);
  const auto& parameter = model->parameters()[0];
  EXPECT_EQ(parameter.name, "decoder.embed_tokens.weight");
  EXPECT_EQ(parameter.tensor->const_data_ptr(),
            static_cast<const void*>(checkpoint.find(parameter.name)->storage->bytes().data()));
}

TEST_F(LoadModelTest, ComputesTheSameWithMatricesAsStoredAndSettled) {
  for (const char* const variant : {"zip_float16", "zip_bfloat16"}) {
    const auto checkpoint =
        compat::Checkpoint::open(golden(std::string("variants/") + variant + ".pt"));
    const at::Tensor expected = features_of(*load(checkpoint));
    Precision precision;
    precision.as_stored = true;
    const auto model = load(checkpoint, precision);
    const auto& parameter = model->parameters()[1];
    EXPECT_NE(parameter.tensor->scalar_type(), at::kFloat) << variant;
    EXPECT_EQ(parameter.tensor->const_data_ptr(),
              static_cast<const void*>(checkpoint.find(parameter.name)->storage->bytes().data()));
    EXPECT_TRUE(features_of(*model).equal(expected)) << variant;
    model->convert_to_fp32();
    for (const NamedParameter& converted : model->parameters())
      EXPECT_EQ(converted.tensor->scalar_type(), at::kFloat) << converted.name;
    EXPECT_TRUE(features_of(*model).equal(expected)) << variant;
  }
}

TEST_F(LoadModelTest, PacksItsMatrices) {
  const at::Tensor expected = features_of(*load(perl()));
  // relative to the largest feature: bf16 has 8 bits, a sum of two 16
  for (const auto& [products, tolerance] :
       {std::pair{Products::kBf16, 3e-2}, std::pair{Products::kBf16x3, 3e-4}}) {
    Precision precision;
    precision.products = products;
    const auto model = load(perl(), precision);
    EXPECT_FALSE(model->output_weight().defined());
    const at::Tensor difference = features_of(*model) - expected;
    EXPECT_LT(difference.abs().max().item<double>() / expected.abs().max().item<double>(),
              tolerance);
    EXPECT_GT(difference.abs().max().item<double>(), 0);
  }
}

TEST_F(LoadModelTest, CountsATiedProjectionOnce) {
  const auto model = load(perl());
  std::int64_t count = 0;
  for (const NamedParameter& parameter : model->parameters()) count += parameter.tensor->numel();
  EXPECT_EQ(count, model->num_parameters());
  EXPECT_EQ(model->output_weight().const_data_ptr(),
            model->parameters()[0].tensor->const_data_ptr());
}

TEST_F(LoadModelTest, SplitsAFusedProjection) {
  const at::Tensor expected = features_of(*load(perl()));
  const auto fused = changed([](compat::NamedTensors& tensors) {
    for (const char* const end : {"weight", "bias"}) {
      const std::string prefix = "decoder.layers.0.self_attn.";
      std::vector<std::byte> bytes, scratch;
      std::vector<std::int64_t> shape;
      for (const char* const part : {"q_proj.", "k_proj.", "v_proj."}) {
        const std::size_t place = place_of(tensors, prefix + part + end);
        const auto data = tensors[place].second.contiguous_bytes(scratch);
        bytes.insert(bytes.end(), data.begin(), data.end());
        shape = tensors[place].second.shape;
        tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(place));
      }
      shape[0] *= 3;
      tensors.emplace_back(prefix + "in_proj_" + end,
                           compat::TensorView::contiguous(
                               compat::Storage::copy_of(compat::DType::kFloat32, bytes), shape));
    }
  });
  EXPECT_TRUE(features_of(*load(fused)).equal(expected));
}

TEST_F(LoadModelTest, DropsTheFinalNormOfAnEarlyVersion) {
  const auto early = changed([](compat::NamedTensors& tensors) {
    const float version = 2;
    tensors[place_of(tensors, "decoder.version")].second = compat::TensorView::contiguous(
        compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(&version, 1))),
        {1});
  });
  EXPECT_TRUE(load(early)->config().no_decoder_final_norm);
}

TEST_F(LoadModelTest, NamesEveryTensorThatDoesNotFit) {
  const auto damaged = changed([](compat::NamedTensors& tensors) {
    tensors[place_of(tensors, "decoder.layers.0.fc1.bias")].first = "decoder.layers.9.fc1.bias";
    auto& misshapen = tensors[place_of(tensors, "decoder.layers.1.fc2.bias")].second;
    misshapen.shape = {32};
  });
  const std::string message = btm_test::message_of<compat::FormatError>([&] { load(damaged); });
  EXPECT_NE(message.find("missing decoder.layers.0.fc1.bias"), std::string::npos) << message;
  EXPECT_NE(message.find("unexpected decoder.layers.9.fc1.bias"), std::string::npos) << message;
  EXPECT_NE(message.find("decoder.layers.1.fc2.bias [32] for [64]"), std::string::npos) << message;
}

TEST_F(LoadModelTest, NamesAWrapperAroundTheModel) {
  for (const std::string prefix : {"module.", "_orig_mod."}) {
    const auto wrapped = changed([&](compat::NamedTensors& tensors) {
      for (auto& [name, view] : tensors) name = prefix + name;
    });
    expect_error<compat::FormatError>([&] { load(wrapped); },
                                      "its tensors' names begin with '" + prefix +
                                          "', a prefix that a wrapper of the model adds");
  }
}

TEST_F(LoadModelTest, RefusesIntegers) {
  const auto integers = changed([](compat::NamedTensors& tensors) {
    auto& view = tensors[place_of(tensors, "decoder.layers.0.fc1.bias")].second;
    const std::vector<std::int32_t> zeros(static_cast<std::size_t>(view.numel()));
    view = compat::TensorView::contiguous(
        compat::Storage::copy_of(compat::DType::kInt32, std::as_bytes(std::span(zeros))),
        view.shape);
  });
  expect_error<compat::FormatError>([&] { load(integers); },
                                    "holds int32, expected floating point");
}

TEST_F(LoadModelTest, RefusesASampleBeyondThePositions) {
  const auto model = load(perl());
  const std::int64_t beyond = model->config().max_target_positions + 1;
  expect_error<compat::UnsupportedError>(
      [&] {
        model->features(at::arange(beyond, at::kLong).remainder(100).add(4).view({1, beyond}));
      },
      "positions");
}

TEST_F(LoadModelTest, PaddingChangesNothingForTheOthers) {
  const auto model = load(perl());
  at::Tensor tokens = at::arange(4, 20, at::kLong).view({2, 8}).clone();
  tokens[1].narrow(0, 5, 3).fill_(TransformerLM::kPaddingIdx);
  const at::Tensor ended = model->features(tokens),
                   masked = model->features(tokens, /*interior_padding=*/true);
  EXPECT_TRUE(ended[0].allclose(masked[0], 1e-5, 1e-5));
  EXPECT_TRUE(ended[1].narrow(0, 0, 5).allclose(masked[1].narrow(0, 0, 5), 1e-5, 1e-5));
  const at::Tensor alone = model->features(tokens.narrow(0, 1, 1).narrow(1, 0, 5));
  EXPECT_TRUE(ended[1].narrow(0, 0, 5).allclose(alone[0], 1e-5, 1e-5));
}

}  // namespace
}  // namespace btm
