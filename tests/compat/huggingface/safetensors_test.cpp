#include "compat/huggingface/safetensors.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::le;
using btm_test::TempDir;
using btm_test::write_file;
using compat::DType;
using compat::Storage;
using compat::TensorView;

std::string file_of(const std::string& header, const std::string& data = {}) {
  return le<std::uint64_t>(header.size()) + header + data;
}

compat::SafetensorsFile load(const std::string& bytes) {
  return compat::load_safetensors(
      compat::MappedFile::of_memory("x.safetensors", std::as_bytes(std::span(bytes))));
}

TEST(Safetensors, ReadsNamesTypesShapesAndMetadata) {
  const std::string bytes = file_of(
      R"({"b":{"dtype":"I64","shape":[],"data_offsets":[4,12]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}})",
      "abcd" + le<std::int64_t>(7));
  const auto file = load(bytes);
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.tensors[0].first, "a");
  EXPECT_EQ(file.tensors[0].second.dtype(), DType::kBFloat16);
  EXPECT_EQ(file.tensors[0].second.shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_TRUE(file.tensors[1].second.shape.empty());
  ASSERT_NE(file.find_metadata("format"), nullptr);
  EXPECT_EQ(*file.find_metadata("format"), "pt");
}

TEST(Safetensors, WritesWhatItReadsAlsoStrided) {
  const TempDir folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const auto storage = Storage::copy_of(DType::kFloat32, std::as_bytes(std::span(values)));
  const TensorView whole = TensorView::contiguous(storage, {2, 3});
  TensorView turned = whole;
  turned.shape = {3, 2};
  turned.stride = {1, 3};
  compat::save_safetensors(
      folder / "x.safetensors",
      {{"whole", whole},
       {"turned", turned},
       {"empty", TensorView::contiguous(Storage::copy_of(DType::kBool, {}), {0})}},
      {{"key", "va\"lue"}});
  const auto file = compat::load_safetensors(folder / "x.safetensors");
  ASSERT_EQ(file.tensors.size(), 3U);
  std::vector<std::byte> scratch;
  const auto bytes = file.tensors[1].second.contiguous_bytes(scratch);
  const std::vector<float> expected{1, 4, 2, 5, 3, 6};
  EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span(expected))));
  EXPECT_EQ(file.metadata.front().second, "va\"lue");
  EXPECT_EQ(btm_test::read_file(folder / "x.safetensors").find("{\"__metadata__\""), 8U);
}

/// `"0":VALUE,"1":VALUE,...`
std::string many_keys(int count, const std::string& value) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":" + value;
  return text;
}

TEST(Safetensors, TakesMetadataThatIsNull) {
  const auto file = load(file_of(
      R"({"__metadata__":null,"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "ab"));
  EXPECT_TRUE(file.metadata.empty());
  EXPECT_EQ(file.tensors.size(), 1U);
}

TEST(Safetensors, RejectsBadFiles) {
  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  struct Row {
    std::string bytes, phrase;
  };
  for (const Row& row : {
           Row{"abc", "needs 8 bytes for the header's length, 3 left"},
           Row{le<std::uint64_t>(200'000'000) + "{}", "a header of 200000000 bytes"},
           Row{le<std::uint64_t>(3) + "{}", "needs 3 bytes for the header, 2 left"},
           Row{file_of("{\"a\""), "not a JSON object"},
           Row{file_of("[]"), "not a JSON object"},
           Row{file_of("{" + a + "," + a + "}", "ab"), "'a' comes twice"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[2]}})"),
               "expected dtype, shape and data_offsets"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", "ab"),
               "expected counts"},
           Row{file_of(
                   R"({"a":{"dtype":"F64","shape":[4611686018427387904,2],"data_offsets":[0,0]}})"),
               "fits 64 bits"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,3]}})", "abc"),
               "for 2 bytes"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", "ab"),
               "for 2 bytes"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":["0",2]}})", "ab"),
               "expected two counts"},
           Row{file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "abc"),
               "starts at 1, expected 0"},
           Row{file_of("{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "abc"),
               "starts at 1, expected 2"},
           Row{file_of("{" + a + "}", "a"), "ends at 2, beyond the 1 bytes"},
           Row{file_of("{" + a + "}", "abc"), "1 bytes follow the last tensor"},
           Row{file_of(R"({"__metadata__":{"a":1}})"), "__metadata__ 'a' is not a string"},
           Row{file_of(R"({"__metadata__":[]})"), "__metadata__ is not an object"},
           Row{file_of(R"({"__metadata__":3})"), "__metadata__ is not an object"},
           Row{file_of(R"({"a":3})"), "tensor 'a': expected dtype, shape and data_offsets"},
           Row{file_of(R"({"a":[{}]})"), "tensor 'a': expected dtype, shape and data_offsets"},
           Row{file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})"), "'dtype' comes twice"},
           Row{file_of("{" + a + "},", "ab"), "not a JSON object"},
           Row{file_of("{\"a\":" + std::string(100'000, '[')),
               "the header nests deeper than 8 levels"},
           Row{file_of("{" +
                       many_keys(200'001, R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})") +
                       "}"),
               "more than 200000 tensors"},
           Row{file_of("{\"__metadata__\":{" + many_keys(10'001, "\"\"") + "}}"),
               "more than 10000 entries in one object"},
           Row{file_of("{\"__metadata__\":{\"a\":\"" + std::string(17 << 20, 'x') + "\"}}"),
               "holds a string of more than 16777216 bytes"},
       })
    expect_error<compat::FormatError>([&] { load(row.bytes); }, row.phrase);
  expect_error<compat::UnsupportedError>(
      [&] { load(file_of(R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", "ab")); },
      "elements of F8_E4M3 (8-bit floats), expected one of F64, F32");
}

TEST(Safetensors, OpensAsACheckpointOnlyWithAConfiguration) {
  const TempDir folder;
  const float value = 1;
  const TensorView view = TensorView::contiguous(
      Storage::copy_of(DType::kFloat32, std::as_bytes(std::span(&value, 1))), {1, 1});
  compat::save_safetensors(folder / "none.safetensors", {{"decoder.embed_tokens.weight", view}},
                           {});
  expect_error<compat::UnsupportedError>(
      [&] { compat::Checkpoint::open(folder / "none.safetensors"); },
      "neither fairseq_cfg nor fairseq_args");
  compat::save_safetensors(folder / "with.safetensors", {{"decoder.embed_tokens.weight", view}},
                           {{"fairseq_cfg", R"({"model":{"_name":"transformer_lm"}})"}});
  const auto checkpoint = compat::Checkpoint::open(folder / "with.safetensors");
  EXPECT_EQ(checkpoint.format(), "safetensors");
  EXPECT_EQ(checkpoint.config().get_string("model", "_name", ""), "transformer_lm");
  compat::save_safetensors(folder / "hf.safetensors", {{"model.decoder.embed_tokens.weight", view}},
                           {});
  expect_error<compat::UnsupportedError>(
      [&] { compat::Checkpoint::open(folder / "hf.safetensors"); },
      "expected its config.json beside it");
  write_file(folder / "config.json", "{\"model_type\": \"llama\"}");
  expect_error<compat::UnsupportedError>(
      [&] { compat::Checkpoint::open(folder / "hf.safetensors"); },
      "model_type 'llama' (supported: opt, gpt2, xglm)");
  write_file(folder / "config.json", "{\"model_type\": \"opt\", \"hidden_size\": 1");
  expect_error<compat::FormatError>([&] { compat::Checkpoint::open(folder / "hf.safetensors"); },
                                    "is not JSON");
  write_file(folder / "config.json",
             R"({"model_type":"opt","vocab_size":2,"hidden_size":1,"ffn_dim":1,)"
             R"("num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":1})");
  expect_error<compat::FormatError>([&] { compat::Checkpoint::open(folder / "hf.safetensors"); },
                                    "is not of the shape that config.json says");
  write_file(folder / "config.json",
             R"({"model_type":"opt","vocab_size":1,"hidden_size":1,"ffn_dim":1,)"
             R"("num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":1,)"
             R"("enable_bias":false})");
  expect_error<compat::UnsupportedError>(
      [&] { compat::Checkpoint::open(folder / "hf.safetensors"); }, "enable_bias false");
}

}  // namespace
