#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/safetensors_checkpoint.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "compat/huggingface/safetensors.h"
#include "converters/commands.h"
#include "converters/tensor_ops.h"
#include "tests/support/command_output.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/zip_bytes.h"

namespace {

namespace fs = std::filesystem;
using btm_test::golden;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;

/// The problems found, one per line. "" when there are none.
std::string problems_of(const fs::path& path) {
  int status = 0;
  const auto json = nlohmann::json::parse(
      btm_test::output_of(converters::run_verify, {path.string(), "--json"}, &status));
  std::string problems;
  for (const auto& entry : json["checked"])
    if (!entry["ok"].get<bool>()) problems += entry["problem"].get<std::string>() + "\n";
  EXPECT_EQ(status, problems.empty() ? 0 : 1);
  EXPECT_EQ(json["ok"].get<bool>(), problems.empty());
  return problems;
}

TEST(Verify, PassesGoldenFiles) {
  for (const char* const path :
       {"data-bin", "checkpoints/demix", "checkpoints/elm_perl/checkpoint_last.pt", "variants",
        "training/base/checkpoint_last.pt", "data-bin-impl/lazy/valid"})
    EXPECT_EQ(problems_of(golden(path)), "") << path;
}

TEST(Verify, PassesOverLogsBesideCheckpoints) {
  const TempDir folder;
  fs::copy_file(golden("checkpoints/elm_perl/checkpoint_last.pt"), folder / "checkpoint_last.pt");
  write_file(folder / "wandb.jsonl", "{\"project\": \"p\", \"name\": \"n\"}\n");
  EXPECT_EQ(problems_of(folder.path()), "");
}

TEST(Verify, MissesTheExpertsThatAForestNames) {
  const TempDir forest;
  for (const char* const name : {"law", "code"}) fs::create_directory(forest / name);
  fs::copy_file(golden("checkpoints/elm_perl/checkpoint_last.pt"),
                forest / "law/checkpoint_last.pt");
  const auto write_manifest = [&](const std::string& complete) {
    write_file(forest / "forest.json",
               R"({"btm_forest": 1, "experts": [
            {"name": "law", "domain": "law", "path": "law/checkpoint_last.pt", "parents": [],
             "complete": true},
            {"name": "code", "domain": "code", "path": "code/checkpoint_last.pt", "parents": [],
             "complete": )" +
                   complete + "}]}");
  };
  write_manifest("false");
  EXPECT_EQ(problems_of(forest.path()), "");  // the training of 'code' has not ended
  write_manifest("true");
  EXPECT_NE(problems_of(forest.path()).find("names it as the expert code"), std::string::npos);
  fs::create_directory(forest / "outer");
  write_file(forest / "outer/forest.json", "{\"btm_forest\": 1, \"experts\": 3}");
  EXPECT_NE(problems_of(forest / "outer").find("experts"), std::string::npos);
}

/// Full names for all values would be quadratic: 800,000 nested lists took minutes and gigabytes.
TEST(Verify, WalksThroughDeepNesting) {
  const TempDir folder;
  constexpr std::size_t kDepth = 800'000;
  const std::string pickle =
      "\x80\x02" + std::string(kDepth, ']') + std::string(kDepth - 1, 'a') + ".";
  write_file(folder / "x-shared.pt",
             btm_test::make_zip({btm_test::ZipMember("a/data.pkl", pickle)}));
  EXPECT_EQ(problems_of(folder / "x-shared.pt"), "");
}

TEST(Verify, NamesTheTensorInsideContainers) {
  const TempDir folder;
  compat::PickleArena arena;
  const std::vector<float> values{1, std::numeric_limits<float>::infinity()};
  compat::PickleDict inner, root;
  inner.items.emplace_back(arena.integer(7),
                           arena.make(compat::PickleList{
                               {arena.none(), arena.tensor(converters::tensor_of(values, {2}))}}));
  root.items.emplace_back(arena.string("state"), arena.make(std::move(inner)));
  compat::save_torch_file(folder / "x-shared.pt", *arena.make(std::move(root)));
  EXPECT_NE(problems_of(folder / "x-shared.pt").find("'state[7][1]' holds inf at element 1"),
            std::string::npos);
}

TEST(Verify, FindsWhatIsWrong) {
  const TempDir folder;
  const fs::path in = golden("data-bin/perl");
  const auto copy_as = [&](const std::string& name) {
    fs::create_directories(folder / name);
    for (const char* const suffix : {".bin", ".idx"})
      fs::copy_file(in / (std::string("valid_perl") + suffix),
                    folder / name / (std::string("valid") + suffix));
    fs::copy_file(in / "dict.txt", folder / name / "dict.txt");
  };
  copy_as("short");
  fs::resize_file(folder / "short/valid.bin", 15000);
  EXPECT_NE(problems_of(folder / "short").find("lie beyond the 15000 bytes"), std::string::npos);
  copy_as("long");
  fs::resize_file(folder / "long/valid.bin", 15750);
  EXPECT_NE(problems_of(folder / "long").find("has 15750 bytes, its index describes 15748"),
            std::string::npos);
  copy_as("orphan");
  fs::remove(folder / "orphan/valid.idx");
  EXPECT_NE(problems_of(folder / "orphan").find("valid.idx"), std::string::npos);
  copy_as("dictionary");
  write_file(folder / "dictionary/dict.txt", "a 1\n");
  EXPECT_NE(problems_of(folder / "dictionary").find("the dictionary has 5 symbols"),
            std::string::npos);
}

TEST(Verify, FindsFlippedBitsAndWeightsThatAreNotFinite) {
  const TempDir folder;
  const fs::path whole = golden("checkpoints/elm_perl/checkpoint_last.pt");
  std::string bytes = read_file(whole);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  write_file(folder / "flipped.pt", bytes);
  EXPECT_NE(problems_of(folder / "flipped.pt").find("CRC-32"), std::string::npos);

  const auto checkpoint = compat::Checkpoint::open(whole);
  compat::NamedTensors model = checkpoint.model();
  const std::vector<float> values(64, std::numeric_limits<float>::quiet_NaN());
  for (auto& [name, view] : model)
    if (name == "decoder.layer_norm.bias") view = converters::tensor_of(values, {64});
  compat::PickleArena arena;
  compat::save_checkpoint(folder / "nan.pt", *compat::with_model(arena, checkpoint.root(), model));
  EXPECT_NE(
      problems_of(folder / "nan.pt").find("'model.decoder.layer_norm.bias' holds nan at element 0"),
      std::string::npos);
}

TEST(Verify, FindsDamageInZstFrames) {
  const TempDir folder;
  btm_test::output_of(converters::run_data_bin, {golden("data-bin/perl/valid_perl").string(),
                                                 folder / "valid", "--to", "zst"});
  EXPECT_EQ(problems_of(folder / "valid"), "");
  std::string bytes = read_file(folder / "valid.bin");
  bytes[1000] = static_cast<char>(bytes[1000] ^ 1);
  write_file(folder / "valid.bin", bytes);
  EXPECT_NE(problems_of(folder / "valid").find("frame 0"), std::string::npos);
}

TEST(Verify, TakesWhateverTorchSavedAndSafetensors) {
  const TempDir folder;
  compat::PickleArena arena;
  const auto tensor = [&](float value) {
    return arena.tensor(converters::tensor_of(std::vector<float>{1, value}, {2}));
  };
  compat::PickleDict state;
  arena.put(state, "lin.weight", tensor(2));
  const compat::PickleNode* const good = arena.make(state);
  arena.put(state, "lin.bias", tensor(std::numeric_limits<float>::infinity()));
  compat::save_torch_file(folder / "good.pt", *good);
  compat::save_torch_file(folder / "bad.pt", *arena.make(compat::PickleList{{arena.make(state)}}));
  compat::save_safetensors(
      folder / "good.safetensors",
      {{"lin.weight", good->find("lin.weight")->get_if<compat::PickleTensor>()->view}}, {});
  EXPECT_EQ(problems_of(folder / "good.pt"), "");
  EXPECT_EQ(problems_of(folder / "good.safetensors"), "");
  EXPECT_NE(problems_of(folder / "bad.pt").find("'[0].lin.bias' holds inf at element 1"),
            std::string::npos);
}

TEST(Verify, WalksDeepPicklesWithoutTheirNames) {
  const TempDir folder;
  compat::PickleArena arena;
  compat::PickleNode* inner = arena.tensor(
      converters::tensor_of(std::vector<float>{std::numeric_limits<float>::quiet_NaN()}, {1}));
  for (int depth = 0; depth < 300; ++depth) {
    compat::PickleDict outer;
    arena.put(outer, std::string(100, 'k'), inner);
    inner = arena.make(std::move(outer));
  }
  compat::save_torch_file(folder / "deep.pt", *inner);
  EXPECT_LT(problems_of(folder / "deep.pt").size(), 1000U);
}

TEST(Verify, ChecksEachLanguageByItsDictionary) {
  const TempDir folder;
  for (const char* const language : {"en", "de"})
    for (const char* const suffix : {".bin", ".idx"})
      fs::copy_file(golden(std::string("data-bin/perl/valid_perl") + suffix),
                    folder / (std::string("valid.en-de.") + language + suffix));
  fs::copy_file(golden("data-bin/dict.txt"), folder / "dict.en.txt");
  write_file(folder / "dict.de.txt", "a 1\n");
  const std::string problems = problems_of(folder.path());
  EXPECT_NE(problems.find("valid.en-de.de"), std::string::npos) << problems;
  EXPECT_EQ(std::ranges::count(problems, '\n'), 1) << problems;
}

TEST(Verify, NamesEmptyFilesAndLfsPointers) {
  const TempDir folder;
  for (const char* const name : {"m.pt", "m.safetensors", "dict.txt"}) {
    write_file(folder / name, "");
    EXPECT_NE(problems_of(folder / name).find(": is empty"), std::string::npos) << name;
    write_file(folder / name,
               "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n");
    EXPECT_NE(problems_of(folder / name).find(": is a Git LFS pointer"), std::string::npos) << name;
  }
}

TEST(Verify, FindsBrokenConfigurations) {
  const fs::path original = golden("hf_import/gpt2_untied");
  EXPECT_EQ(problems_of(original), "");
  struct Row {
    const char *config, *problem;  // no problem: a good model, but not one of fairseq
  };
  for (const Row& row :
       {Row{"{", "config.json: is not JSON"}, Row{"[]", "config.json: is not a JSON object"},
        Row{R"({"model_type":"gpt2","n_embd":"24"})", "n_embd]: is \"24\", expected a count"},
        Row{R"({"model_type":"gpt2","n_embd":24,"n_head":5})", "has 5 attention heads"},
        Row{R"({"model_type":"gpt2","n_embd":24,"n_head":4})", "is not of the shape"},
        Row{R"({"model_type":"opt"})", "has no tensor 'model.decoder.embed_tokens.weight'"},
        Row{R"({"model_type":"llama"})", ""}, Row{"{}", ""}}) {
    const TempDir folder;
    fs::copy_file(original / "model.safetensors", folder / "model.safetensors");
    write_file(folder / "config.json", row.config);
    for (const fs::path& path : {folder.path(), folder / "model.safetensors"}) {
      const std::string problems = problems_of(path);
      if (*row.problem == 0)
        EXPECT_EQ(problems, "") << row.config;
      else
        EXPECT_NE(problems.find(row.problem), std::string::npos) << row.config << problems;
    }
  }
  const TempDir folder;
  compat::save_safetensors(
      folder / "broken.safetensors",
      {{"decoder.embed_tokens.weight", converters::tensor_of(std::vector<float>{1}, {1})}},
      {{compat::kCfgMetadata, "{\"model\": "}});
  EXPECT_NE(problems_of(folder / "broken.safetensors").find("is not JSON"), std::string::npos);
}

TEST(Verify, RefusesWhatIsNotThere) {
  const TempDir folder;
  btm_test::expect_error<compat::IoError>([&] { problems_of(folder / "none"); },
                                          "no such file or folder");
  btm_test::expect_error<compat::IoError>([&] { problems_of(folder.path()); },
                                          "contains nothing that can be verified");
}

}  // namespace
