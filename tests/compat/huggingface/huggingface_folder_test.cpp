#include "compat/huggingface/huggingface_folder.h"

#include <gtest/gtest.h>

#include <cstring>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/huggingface/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::TempDir;
using btm_test::write_file;
using compat::hugging_face_tensors;

compat::TensorView one(float value) {
  return compat::TensorView::contiguous(
      compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(&value, 1))), {1});
}

float value_of(const compat::NamedTensors& tensors, const std::string& name) {
  for (const auto& [found, view] : tensors) {
    if (found != name) continue;
    std::vector<std::byte> scratch;
    float value = 0;
    std::memcpy(&value, view.contiguous_bytes(scratch).data(), sizeof value);
    return value;
  }
  return -1;
}

void write_index(const TempDir& folder, const std::string& map) {
  write_file(folder / "model.safetensors.index.json", "{\"weight_map\": " + map + "}");
}

TEST(HuggingFaceFolder, ReadsShardsOfBothFormats) {
  EXPECT_EQ(hugging_face_tensors(golden("hf_import/opt_bin_index")).size(), 21U);
  const TempDir folder;
  compat::save_safetensors(folder / "a.safetensors", {{"x", one(1)}}, {});
  compat::save_safetensors(folder / "b.safetensors", {{"y", one(2)}}, {});
  write_index(folder, R"({"x": "a.safetensors", "y": "b.safetensors"})");
  EXPECT_EQ(hugging_face_tensors(folder.path()).size(), 2U);
}

TEST(HuggingFaceFolder, TakesATensorFromTheFileThatWeightMapNames) {
  const TempDir folder;
  compat::save_safetensors(folder / "a.safetensors", {{"x", one(1)}, {"z", one(5)}}, {});
  compat::save_safetensors(folder / "b.safetensors", {{"x", one(2)}, {"y", one(3)}}, {});
  write_index(folder, R"({"x": "b.safetensors", "y": "b.safetensors", "z": "a.safetensors"})");
  EXPECT_EQ(value_of(hugging_face_tensors(folder.path()), "x"), 2);
  write_index(folder, R"({"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"})");
  EXPECT_EQ(value_of(hugging_face_tensors(folder.path()), "x"), 1);
  write_index(folder, R"({"y": "b.safetensors", "z": "a.safetensors"})");
  expect_error<compat::FormatError>(
      [&] { hugging_face_tensors(folder.path()); },
      "'x' is in a.safetensors and in b.safetensors, expected weight_map to name one of them");
}

TEST(HuggingFaceFolder, RefusesBadIndices) {
  const TempDir folder;
  compat::save_safetensors(folder / "a.safetensors", {{"x", one(1)}}, {});
  expect_error<compat::IoError>(
      [&] { hugging_face_tensors(folder.path()); },
      "holds no weights (model.safetensors or pytorch_model.bin, or either's .index.json)");
  struct Row {
    const char* map;
    const char* phrase;
  };
  for (const Row& row :
       {Row{"[]", "has no weight_map"}, Row{R"({"x": 3})", "'x' is in 3, expected a file's name"},
        Row{R"({"x": "../a.safetensors"})", "expected a file's name"},
        Row{R"({"x": "a.safetensors", "y": "a.safetensors"})",
            "weight_map places 'y' in a.safetensors, which has no such tensor"}}) {
    write_index(folder, row.map);
    expect_error<compat::FormatError>([&] { hugging_face_tensors(folder.path()); }, row.phrase);
  }
  write_index(folder, R"({"x": "b.safetensors"})");
  expect_error<compat::IoError>([&] { hugging_face_tensors(folder.path()); }, "b.safetensors");
}

TEST(HuggingFaceFolder, IsKnownByItsWeightsOrItsModelType) {
  const TempDir folder;
  EXPECT_FALSE(compat::is_hugging_face_folder(folder.path()));
  write_file(folder / "config.json", "{}");
  EXPECT_FALSE(compat::is_hugging_face_folder(folder.path()));
  compat::save_safetensors(folder / "model.safetensors", {{"x", one(1)}}, {});
  EXPECT_TRUE(compat::is_hugging_face_folder(folder.path()));
  expect_error<compat::UnsupportedError>([&] { compat::Checkpoint::open(folder.path()); },
                                         "has no model_type, expected opt, gpt2 or xglm");
}

}  // namespace
