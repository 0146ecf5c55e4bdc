#include <gtest/gtest.h>
#include <sys/stat.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "converters/commands.h"
#include "tests/support/command_output.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::golden;
using Json = nlohmann::json;

/// The output of `btm-convert inspect ARGS`.
std::string inspected(const std::vector<std::string>& args) {
  std::ostringstream out;
  std::streambuf* const before = std::cout.rdbuf(out.rdbuf());
  try {
    EXPECT_EQ(run_inspect(args), 0);
  } catch (...) {
    std::cout.rdbuf(before);
    throw;
  }
  std::cout.rdbuf(before);
  return out.str();
}

Json json_of(const std::filesystem::path& path, bool hash = false) {
  std::vector<std::string> args{path.string(), "--json"};
  if (hash) args.push_back("--hash");
  return Json::parse(inspected(args));
}

TEST(Inspect, ShowsACheckpoint) {
  const Json json = json_of(golden("checkpoints/seed/checkpoint_1_100.pt"));
  EXPECT_EQ(json["kind"], "checkpoint");
  EXPECT_EQ(json["layout"], "zip");
  EXPECT_EQ(json["arch"], "transformer_lm_gpt3_small");
  EXPECT_EQ(json["num_updates"], 100);
  EXPECT_EQ(json["parameters"], 243'585);  // decoder.version counts as one
  EXPECT_FALSE(json["optimizer"].is_null());
  EXPECT_EQ(json["cfg"]["model"]["decoder_embed_dim"], 64);
  EXPECT_FALSE(json["tensors"][0].contains("sha256"));
  EXPECT_EQ(json["summary"], Json::parse(
                                 R"({"architecture": "transformer_lm_gpt3_small", "layers": 2,
      "width": 64, "ffn_width": 256, "heads": 4,
      "vocabulary": 2112, "positions": 128, "tied": true, "parameters": 243585,
      "precision": "float32", "num_updates": 100,
      "optimizer": "FairseqAdam", "dictionary_sha256": null})"));
}

TEST(Inspect, ShowsTheSummaryFirstAndTensorsWhenAsked) {
  const std::string path = golden("checkpoints/demix_fork/dense/checkpoint_last.pt").string(),
                    text = inspected({path});
  EXPECT_EQ(
      text,
      "checkpoint " + path + "\n" +
          "  zip layout, transformer_lm_gpt3_small: 2 layers, width 32 (ffn 128), 2 heads, "
          "vocabulary 56, 64 positions, output tied\n"
          "  29,377 parameters (float32, 114.8 KiB), 6 updates, criterion CrossEntropyCriterion, "
          "optimizer state of FairseqAdam\n"
          R"(  stores no digest of its dictionary
  38 tensors (--tensors lists them)
)");
  const std::string listed = inspected({path, "--tensors"});
  EXPECT_TRUE(listed.starts_with(text.substr(0, text.find("  38 tensors")))) << listed;
  EXPECT_NE(listed.find("decoder.embed_tokens.weight"), std::string::npos);
}

TEST(Inspect, ShowsADictionarysDigest) {
  EXPECT_EQ(json_of(golden("data-bin/dict.txt"))["dictionary_sha256"],
            "28d0f73d0d74273419fe163151e965ca9b1262f99fb787aefd75b3dcc8e951d1");
  const btm_test::TempDir dir;
  const auto source =
      compat::Checkpoint::open(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"));
  compat::PickleArena arena;
  compat::save_checkpoint(dir / "m.pt",
                          *compat::with_dictionary(arena, source.root(), std::string(64, 'd')));
  EXPECT_EQ(json_of(dir / "m.pt")["summary"]["dictionary_sha256"], std::string(64, 'd'));
  EXPECT_NE(
      inspected({(dir / "m.pt").string()}).find("\n  dictionary " + std::string(64, 'd') + "\n"),
      std::string::npos);
}

/// The files that torch.save writes for a dict of tensors in a list, for a tensor, and for a model
/// without its configuration.
void save_plain_files(const std::filesystem::path& folder) {
  compat::PickleArena arena;
  const auto tensor = [&](std::size_t size) {
    return arena.tensor(compat::TensorView::contiguous(
        compat::Storage::copy_of(compat::DType::kFloat32, std::vector<std::byte>(4 * size)),
        {static_cast<std::int64_t>(size)}));
  };
  compat::PickleDict state, model;
  arena.put(state, "lin.weight", tensor(6));
  arena.put(state, "lin.bias", tensor(2));
  arena.put(model, "model", arena.make(state));
  arena.put(model, "epoch", arena.integer(3));
  compat::PickleList list{{arena.make(state), arena.string("x"), tensor(5)}};
  list.items.push_back(list.items[0]);
  compat::save_torch_file(folder / "state.pt", *arena.make(state));
  compat::save_torch_file(folder / "model.pt", *arena.make(model));
  compat::save_torch_file(folder / "list.pt", *arena.make(list));
  compat::save_torch_file(folder / "tensor.pt", *tensor(7), compat::TorchLayout::kLegacy);
}

TEST(Inspect, ShowsWhateverTorchSaved) {
  const btm_test::TempDir dir;
  save_plain_files(dir.path());
  const std::map<std::string, std::pair<std::string, std::string>> files{
      {"state.pt", {"a dict of 2: lin.weight, lin.bias", "lin.weight lin.bias "}},
      {"model.pt", {"a dict of 2: model, epoch", "model.lin.weight model.lin.bias "}},
      {"list.pt", {"a list of 4", "[0].lin.weight [0].lin.bias [2] "}},
      {"tensor.pt", {"a tensor", " "}}};
  for (const auto& [file, expected] : files) {
    const Json json = json_of(dir / file, true);
    EXPECT_EQ(json["kind"], "torch file") << file;
    EXPECT_TRUE(json["holds"].get<std::string>().starts_with(expected.first)) << json["holds"];
    std::string names;
    for (const Json& row : json["tensors"]) names += row["name"].get<std::string>() + " ";
    EXPECT_EQ(names, expected.second) << file;
    EXPECT_EQ(json["tensors"][0]["sha256"].get<std::string>().size(), 64U);
  }
  const std::string text = inspected({(dir / "model.pt").string()});
  EXPECT_NE(text.find("  not a model of fairseq: without 'model' and 'cfg' or 'args'"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  model.lin.weight  float32 [6]\n"), std::string::npos) << text;
}

TEST(Inspect, ShowsSafetensorsAndHuggingFaceFolders) {
  const btm_test::TempDir dir;
  const std::string elm = golden("checkpoints/elm_perl/checkpoint_last.pt").string();
  btm_test::output_of(run_checkpoint, {elm, dir / "m.safetensors", "--to", "safetensors"});
  btm_test::output_of(run_checkpoint, {elm, dir / "hf", "--to", "hf", "--skip-proof"});
  const Json expected = json_of(elm)["summary"];
  for (const char* const file : {"m.safetensors", "hf", "hf/model.safetensors"}) {
    const Json json = json_of(dir / file);
    EXPECT_EQ(json["kind"], "checkpoint") << file;
    for (const char* const key : {"layers", "width", "heads", "vocabulary"})
      EXPECT_EQ(json["summary"][key], expected[key]) << file << " " << key;
  }
  const Json folder = json_of(dir.path());
  EXPECT_EQ(folder["checkpoints"].size(), 1U);
  EXPECT_EQ(folder["folders"][0]["layout"], "hugging face");
  std::filesystem::rename(dir / "hf/config.json", dir / "config.json");
  const Json alone = json_of(dir / "hf/model.safetensors");
  EXPECT_EQ(alone["kind"], "safetensors file");
  EXPECT_NE(alone["why_not"].get<std::string>().find("expected its config.json beside it"),
            std::string::npos);
  EXPECT_GT(alone["tensors"].size(), 30U);
}

TEST(Inspect, ShowsTranslationData) {
  const btm_test::TempDir dir;
  for (const char* const language : {"en", "de"}) {
    for (const char* const suffix : {".bin", ".idx"})
      std::filesystem::copy(golden(std::string("data-bin/perl/valid_perl") + suffix),
                            dir / (std::string("valid.en-de.") + language + suffix));
    std::filesystem::copy(golden("data-bin/dict.txt"),
                          dir / (std::string("dict.") + language + ".txt"));
  }
  const Json json = json_of(dir.path());
  EXPECT_TRUE(json["dictionary"].is_null());
  ASSERT_EQ(json["dictionaries"].size(), 2U);
  EXPECT_EQ(json["dictionaries"][0]["symbols"], 2112);
  ASSERT_EQ(json["splits"].size(), 2U);
  EXPECT_TRUE(json["splits"][1]["prefix"].get<std::string>().ends_with("valid.en-de.en"));
}

TEST(Inspect, NamesEmptyFilesAndLfsPointers) {
  const btm_test::TempDir dir;
  for (const std::string name : {"m.pt", "m.safetensors", "dict.txt", "model.bin"}) {
    btm_test::write_file(dir / name, "");
    if (name != "model.bin")  // for it the missing index is reported first
      btm_test::expect_error<compat::FormatError>([&] { inspected({(dir / name).string()}); },
                                                  name + ": is empty");
    btm_test::write_file(dir / name,
                         "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n");
    btm_test::expect_error<compat::FormatError>([&] { inspected({(dir / name).string()}); },
                                                name + ": is a Git LFS pointer");
  }
}

TEST(Inspect, HashesEveryTensor) {
  const Json expected =
      Json::parse(btm_test::read_file(golden("variants/legacy_strided_shared.json")));
  const Json json = json_of(golden("variants/legacy_strided_shared.pt"), true);
  EXPECT_EQ(json["layout"], "legacy");
  ASSERT_EQ(json["tensors"].size(), expected.size());
  for (const Json& row : json["tensors"]) {
    const Json& tensor = expected[row["name"].get<std::string>()];
    EXPECT_EQ("torch." + row["dtype"].get<std::string>(), tensor[0]);
    EXPECT_EQ(row["shape"], tensor[1]);
    EXPECT_EQ(row["stride"], tensor[2]);
    EXPECT_EQ(row["sha256"], tensor[3]);
  }
}

TEST(Inspect, ShowsAShardWithItsSharedPart) {
  const auto folder = golden("checkpoints/demix_fork/sharded");
  EXPECT_EQ(json_of(folder / "checkpoint_last-rank-0.pt")["kind"], "demix checkpoint");
  EXPECT_EQ(json_of(folder / "checkpoint_last-rank-0.pt")["files"].size(), 2U);
  EXPECT_EQ(json_of(folder / "checkpoint_last-shared.pt")["kind"], "demix shared part");
}

TEST(Inspect, ShowsDataSetsOfEveryImplementationAlike) {
  const Json mmap = json_of(golden("data-bin/fortunes/valid_fortunes"), true);
  EXPECT_EQ(mmap["sequences"], 137);
  EXPECT_EQ(mmap["tokens"], 9533);
  EXPECT_EQ(mmap["longest"], 468);
  const Json lazy = json_of(golden("data-bin-impl/lazy/valid.bin"), true);
  EXPECT_EQ(lazy["implementation"], "lazy");
  EXPECT_EQ(lazy["dtype"], "int32");
  EXPECT_EQ(lazy["sha256_ids"], mmap["sha256_ids"]);
}

TEST(Inspect, ShowsADictionary) {
  const Json json = json_of(golden("data-bin/dict.txt"));
  EXPECT_EQ(json["symbols"], 2112);
  EXPECT_EQ(json["madeupwords"], 3);
}

TEST(Inspect, ShowsAFolderWithItsFolders) {
  const Json json = json_of(golden("data-bin"));
  EXPECT_EQ(json["kind"], "folder");
  ASSERT_EQ(json["folders"].size(), 4U);
  std::set<std::string> splits;
  for (const Json& split : json["folders"][0]["splits"])
    splits.insert(std::filesystem::path(split["prefix"].get<std::string>()).filename());
  EXPECT_TRUE(splits.contains("test_fortunes") && splits.contains("valid_fortunes"));
  EXPECT_EQ(json["dictionary"]["symbols"], 2112);
}

TEST(Inspect, ReportsADamagedMemberInItsPlace) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "dict.txt", "a 1\na 1\n");
  btm_test::write_file(dir / "bad.pt", "PK\x03\x04");
  btm_test::write_file(
      dir / "alone-rank-0.pt",
      btm_test::read_file(golden("checkpoints/demix_fork/sharded/checkpoint_last-rank-0.pt")));
  btm_test::write_file(dir / "valid.idx", "MMIDIDX");
  ASSERT_EQ(::mkfifo((dir / "pipe.pt").c_str(), 0600), 0);
  std::filesystem::copy(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"), dir / "good.pt");
  const Json json = json_of(dir.path());
  EXPECT_EQ(json["dictionary"]["kind"], "unreadable");
  EXPECT_EQ(json["splits"][0]["kind"], "unreadable");
  ASSERT_EQ(json["checkpoints"].size(), 4U);
  EXPECT_NE(json["checkpoints"][0]["error"].get<std::string>().find("without its shared part"),
            std::string::npos);
  EXPECT_EQ(json["checkpoints"][1]["kind"], "unreadable");
  EXPECT_EQ(json["checkpoints"][2]["kind"], "checkpoint");
  EXPECT_NE(json["checkpoints"][3]["error"].get<std::string>().find("is a FIFO"),
            std::string::npos);
  const std::string text = inspected({dir.path().string()});
  EXPECT_NE(text.find("unreadable: "), std::string::npos);
  EXPECT_NE(text.find("29,377 parameters"), std::string::npos);
}

TEST(Inspect, PrintsTensorsForPeople) {
  const std::string text = inspected({golden("variants/zip_bfloat16.pt").string(), "--tensors"});
  EXPECT_NE(text.find("decoder.embed_tokens.weight"), std::string::npos);
  EXPECT_NE(text.find("bfloat16 [2112, 64]"), std::string::npos);
}

TEST(Inspect, EscapesNamesFromTheFile) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "x\x1b[2J.pt", "PK\x03\x04");
  EXPECT_EQ(inspected({dir.path().string()}).find('\x1b'), std::string::npos);
}

TEST(Inspect, RefusesWhatItDoesNotKnow) {
  const btm_test::TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  btm_test::write_file(dir / "text", "no dictionary\n");
  std::filesystem::create_directory(dir / "folder");
  btm_test::expect_error<compat::IoError>([&] { inspected({(dir / "folder").string()}); },
                                          "folder: contains no dictionary, data set or model");
  btm_test::expect_error<compat::IoError>([&] { inspected({(dir / "none").string()}); },
                                          "none: no such file or folder");
  btm_test::expect_error<compat::IoError>([&] { inspected({(dir / "pipe").string()}); },
                                          "pipe: is a FIFO, expected a regular file");
  btm_test::expect_error<compat::FormatError>(
      [&] { inspected({(dir / "text").string()}); },
      "text[line 1]: 'no dictionary', expected '<token> <count>");
}

}  // namespace
}  // namespace converters
