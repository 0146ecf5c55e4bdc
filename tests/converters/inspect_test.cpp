#include <gtest/gtest.h>
#include <sys/stat.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "compat/error.h"
#include "converters/commands.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::golden;
using Json = nlohmann::json;

/// What `btm-convert inspect ARGS` prints.
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
}

TEST(Inspect, HashesEveryTensor) {
  const Json expected = Json::parse(btm_test::read_file(golden("variants/legacy_strided_shared.json")));
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
  for (const Json& split : json["folders"][0]["splits"]) splits.insert(std::filesystem::path(split["prefix"].get<std::string>()).filename());
  EXPECT_TRUE(splits.contains("test_fortunes") && splits.contains("valid_fortunes"));
  EXPECT_EQ(json["dictionary"]["symbols"], 2112);
}

TEST(Inspect, ReportsADamagedMemberInItsPlace) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "dict.txt", "a 1\na 1\n");
  btm_test::write_file(dir / "bad.pt", "PK\x03\x04");
  btm_test::write_file(dir / "alone-rank-0.pt", btm_test::read_file(golden("checkpoints/demix_fork/sharded/checkpoint_last-rank-0.pt")));
  btm_test::write_file(dir / "valid.idx", "MMIDIDX");
  ASSERT_EQ(::mkfifo((dir / "pipe.pt").c_str(), 0600), 0);
  std::filesystem::copy(golden("checkpoints/demix_fork/dense/checkpoint_last.pt"), dir / "good.pt");
  const Json json = json_of(dir.path());
  EXPECT_EQ(json["dictionary"]["kind"], "unreadable");
  EXPECT_EQ(json["splits"][0]["kind"], "unreadable");
  ASSERT_EQ(json["checkpoints"].size(), 4U);
  EXPECT_NE(json["checkpoints"][0]["error"].get<std::string>().find("without its shared part"), std::string::npos);
  EXPECT_EQ(json["checkpoints"][1]["kind"], "unreadable");
  EXPECT_EQ(json["checkpoints"][2]["kind"], "checkpoint");
  EXPECT_NE(json["checkpoints"][3]["error"].get<std::string>().find("is a FIFO"), std::string::npos);
  const std::string text = inspected({dir.path().string()});
  EXPECT_NE(text.find("unreadable: "), std::string::npos);
  EXPECT_NE(text.find("29377 parameters"), std::string::npos);
}

TEST(Inspect, PrintsTensorsForPeople) {
  const std::string text = inspected({golden("variants/zip_bfloat16.pt").string()});
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
  btm_test::expect_error<compat::IoError>([&] { inspected({(dir / "none").string()}); }, "none: no such file or folder");
  btm_test::expect_error<compat::IoError>([&] { inspected({(dir / "pipe").string()}); }, "pipe: is a FIFO, expected a regular file");
  btm_test::expect_error<compat::FormatError>([&] { inspected({(dir / "text").string()}); }, "text[line 1]: 'no dictionary', expected '<token> <count>");
}

}  // namespace
}  // namespace converters
