#include "btm/cli/forest_table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace btm {
namespace {

using compat::Forest;
using compat::ForestExpert;
using Json = nlohmann::json;

/// A forest of a complete expert with two parents and one that is still in training.
Forest two_experts(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "cs");
  btm_test::write_tiny_checkpoint(folder / "cs/checkpoint_last.pt", {{"w", {1}}});
  Forest forest{folder, true, {}};
  ForestExpert cs;
  cs.name = "cs";
  cs.domain = "computer science";
  cs.path = "cs/checkpoint_last.pt";
  cs.start = "posterior";
  cs.parents = {{"a", 0.25}, {"/seed\x1b.pt", 0.75}};
  cs.data = "/data/cs";
  cs.valid_ppl = 12.3456;
  forest.experts.push_back(cs);
  ForestExpert law;
  law.name = "law";
  law.domain = "law\x1b[2J\nforged";
  law.path = "law/checkpoint_last.pt";
  law.complete = false;
  forest.experts.push_back(law);
  return forest;
}

TEST(ForestTable, HasALineForEachExpert) {
  const btm_test::TempDir dir;
  std::ostringstream out;
  print_forest(two_experts(dir.path()), out);
  EXPECT_EQ(out.str(),
            "name  domain                path                    start      "
            "parent                      updates  valid ppl  state\n"
            "cs    computer science      cs/checkpoint_last.pt   posterior  "
            "0.250*a 0.750*/seed\\x1b.pt        -      12.35  complete\n"
            "law   law\\x1b[2J\\x0aforged  law/checkpoint_last.pt  -          "
            "-                                 -          -  to be continued\n");
}

TEST(ForestTable, OfNoExpertIsALineOfNames) {
  std::ostringstream out;
  print_forest({"/nowhere", false, {}}, out);
  EXPECT_EQ(out.str(), "name  domain  path  start  parent  updates  valid ppl  state\n");
}

TEST(ForestTable, IsJsonForPrograms) {
  const btm_test::TempDir dir;
  std::ostringstream out;
  print_forest_json(two_experts(dir.path()), out);
  const Json json = Json::parse(out.str());
  EXPECT_EQ(json["forest"], dir.path().string());
  EXPECT_EQ(json["manifest"], true);
  ASSERT_EQ(json["experts"].size(), 2U);
  const Json& cs = json["experts"][0];
  EXPECT_EQ(cs["path"], (dir / "cs/checkpoint_last.pt").string());
  EXPECT_EQ(cs["parents"], Json::parse(R"([{"model":"a","weight":0.25},
                                           {"model":"/seed\u001b.pt","weight":0.75}])"));
  EXPECT_EQ(cs["valid_ppl"], 12.3456);
  EXPECT_EQ(cs["updates"], nullptr);  // a checkpoint that keeps no count
  EXPECT_EQ(cs["complete"], true);
  const Json& law = json["experts"][1];
  EXPECT_EQ(law["domain"], "law\x1b[2J\nforged");  // JSON escapes it itself
  EXPECT_EQ(law["valid_ppl"], nullptr);
  EXPECT_EQ(law["dictionary_sha256"], nullptr);
  EXPECT_EQ(law["complete"], false);
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
}

TEST(ForestTable, ShowsThatACheckpointIsMissing) {
  const btm_test::TempDir dir;
  const Forest forest = two_experts(dir.path());
  std::filesystem::remove(dir / "cs/checkpoint_last.pt");
  std::ostringstream out;
  print_forest(forest, out);
  EXPECT_NE(out.str().find("missing"), std::string::npos) << out.str();
  std::ostringstream json;
  print_forest_json(forest, json);
  EXPECT_EQ(Json::parse(json.str())["experts"][0]["state"], "missing");
}

}  // namespace
}  // namespace btm
