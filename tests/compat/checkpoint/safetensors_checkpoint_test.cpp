#include "compat/checkpoint/safetensors_checkpoint.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/huggingface/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using Metadata = std::vector<std::pair<std::string, std::string>>;

const std::string kDigest(64, 'a');

/// A file of one tensor `name` with `metadata`.
std::filesystem::path written(const TempDir& dir, const std::string& name,
                              const Metadata& metadata) {
  const std::vector<float> values{1, 2};
  const auto storage = Storage::copy_of(DType::kFloat32, std::as_bytes(std::span(values)));
  save_safetensors(dir / "m.safetensors", {{name, TensorView::contiguous(storage, {2})}}, metadata);
  return dir / "m.safetensors";
}

PickleTree opened(const std::filesystem::path& path) {
  return safetensors_checkpoint(MappedFile::open(path));
}

TEST(SafetensorsCheckpoint, KeepsWhatACheckpointSaysOfItself) {
  PickleArena arena;
  const ConfigValue cfg = config_from_json(R"({"model": {"arch": "transformer_lm"}})", "f");
  const ConfigValue args = config_from_json(R"({"arch": "transformer_lm", "lr": [0.5]})", "f");
  PickleDict root;
  arena.put(root, "cfg", config_to_pickle(arena, cfg));
  arena.put(root, "args", namespace_to_pickle(arena, args));
  arena.put(root, kDictionaryKey, arena.string(kDigest));
  const Metadata metadata = checkpoint_metadata(*arena.make(std::move(root)), "f");
  EXPECT_EQ(metadata, (Metadata{{"fairseq_cfg", R"({"model":{"arch":"transformer_lm"}})"},
                                {"fairseq_args", R"({"arch":"transformer_lm","lr":[0.5]})"},
                                {"dictionary_sha256", kDigest}}));

  const TempDir dir;
  const PickleTree tree = opened(written(dir, "decoder.embed_tokens.weight", metadata));
  const Config kept = Config::from_checkpoint(tree.root->find("cfg"), nullptr, "f");
  EXPECT_EQ(kept.root().to_text(), cfg.to_text());
  EXPECT_EQ(Config::from_checkpoint(nullptr, tree.root->find("args"), "f").root().to_text(),
            args.to_text());
  const NamedTensors model = model_tensors(*tree.root, "f");
  ASSERT_EQ(model.size(), 1U);
  EXPECT_EQ(model[0].first, "decoder.embed_tokens.weight");
  EXPECT_EQ(checkpoint_metadata(*tree.root, "f"), metadata);  // and the way back
}

TEST(SafetensorsCheckpoint, LeavesOutWhatIsNone) {
  PickleArena arena;
  PickleDict root;
  arena.put(root, "cfg", arena.none());
  arena.put(root, "args", arena.none());
  EXPECT_TRUE(checkpoint_metadata(*arena.make(std::move(root)), "f").empty());
  const TempDir dir;
  const PickleTree tree =
      opened(written(dir, "decoder.embed_tokens.weight", {{"fairseq_args", R"({"lr":1})"}}));
  EXPECT_TRUE(tree.root->find("cfg")->is_none());
  EXPECT_EQ(tree.root->find(kDictionaryKey), nullptr);
}

TEST(SafetensorsCheckpoint, RefusesMetadataThatAreNoConfiguration) {
  const std::vector<std::pair<Metadata, const char*>> rows{
      {{{"fairseq_cfg", "{"}}, "m.safetensors: is not JSON, expected a configuration"},
      {{{"fairseq_cfg", ""}}, "is not JSON"},
      {{{"fairseq_args", "{'lr': 1}"}}, "is not JSON"},
      {{{"fairseq_cfg", "{\"a\":1,\"a\":2}"}}, "'a' comes twice"},
      {{{"fairseq_cfg", "{}"}, {"fairseq_args", "\xf0\x9f\x99\x82"}}, "is not JSON"},
  };
  for (const auto& [metadata, phrase] : rows) {
    SCOPED_TRACE(phrase);
    const TempDir dir;
    const auto path = written(dir, "decoder.embed_tokens.weight", metadata);
    expect_error<FormatError>([&] { opened(path); }, phrase);
    expect_error<FormatError>([&] { stored_configuration(path); }, phrase);
  }
}

TEST(SafetensorsCheckpoint, NeedsAConfiguration) {
  const TempDir dir;
  expect_error<UnsupportedError>(
      [&] {
        opened(written(dir, "decoder.embed_tokens.weight", {{"format", "pt"}}));
      },
      "its __metadata__ holds neither fairseq_cfg nor fairseq_args");
  expect_error<UnsupportedError>([&] { opened(written(dir, "transformer.wte.weight", {})); },
                                 "holds a Hugging Face model, expected its config.json beside it");
  const auto path = written(dir, "transformer.wte.weight", {});
  for (const char* const config : {"", "{", "[]", "{\"model_type\": \"\\u001b[2J\"}", "{}"}) {
    SCOPED_TRACE(config);
    btm_test::write_file(dir / "config.json", config);
    try {
      opened(path);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("config.json"), std::string::npos) << text;
      EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
  }
}

TEST(KeptConfiguration, IsEmptyWhereThereIsNone) {
  const TempDir dir;
  EXPECT_EQ(stored_configuration(dir / "none").root, nullptr);
  EXPECT_EQ(stored_configuration(dir.path()).root, nullptr);
  btm_test::write_file(dir / "other", "no safetensors file");
  EXPECT_EQ(stored_configuration(dir / "other").root, nullptr);
  EXPECT_EQ(
      stored_configuration(written(dir, "decoder.embed_tokens.weight", {{"format", "pt"}})).root,
      nullptr);
  const auto path = written(dir, "decoder.embed_tokens.weight", {{"fairseq_cfg", "{}"}});
  ASSERT_NE(stored_configuration(path).root, nullptr);
  std::filesystem::rename(path, dir / "model.safetensors");
  ASSERT_NE(stored_configuration(dir.path()).root, nullptr);  // a folder's
  EXPECT_EQ(stored_configuration(dir.path()).root->find("model"), nullptr);
}

}  // namespace
}  // namespace compat
