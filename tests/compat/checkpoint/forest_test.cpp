#include "compat/checkpoint/forest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;
using btm_test::write_file;
using compat::change_forest;
using compat::Forest;
using compat::ForestExpert;
using compat::open_forest;
namespace fs = std::filesystem;

ForestExpert expert(const std::string& name) {
  return {.name = name,
          .domain = "d",
          .path = fs::path(name) / "checkpoint_last.pt",
          .start = "nearest",
          .parents = {{"seed", 1}},
          .data = "/data",
          .valid_ppl = 12.25,
          .complete = false};
}

std::vector<std::string> names_of(const Forest& forest) {
  std::vector<std::string> names;
  for (const ForestExpert& one : forest.experts) names.push_back(one.name);
  return names;
}

TEST(Forest, IsReadAsItWasWritten) {
  const btm_test::TempDir dir;
  ForestExpert average = expert("average");
  average.start = "posterior";
  average.parents = {{"a", 0.1}, {"b", 0.7000000000000001}};
  average.valid_ppl.reset();
  average.complete = true;
  average.cluster = compat::ClusterOrigin{10, std::string(64, 'a')};
  average.dictionary = std::string(64, 'd');
  change_forest(dir.path(), [&](Forest& forest) { forest.experts = {expert("x"), average}; });
  const Forest forest = open_forest(dir.path());
  EXPECT_TRUE(forest.has_manifest);
  ASSERT_EQ(names_of(forest), (std::vector<std::string>{"x", "average"}));
  const ForestExpert& x = forest.experts[0];
  EXPECT_EQ(x.domain, "d");
  EXPECT_EQ(forest.checkpoint_of(x), dir.path() / "x" / "checkpoint_last.pt");
  EXPECT_EQ(x.start, "nearest");
  EXPECT_EQ(x.parents.at(0).model, "seed");
  EXPECT_EQ(x.data, "/data");
  EXPECT_EQ(x.valid_ppl, 12.25);
  EXPECT_FALSE(x.complete);
  const ForestExpert& read = forest.experts[1];
  EXPECT_TRUE(read.complete);
  EXPECT_EQ(x.dictionary, "");
  EXPECT_EQ(read.dictionary, std::string(64, 'd'));
  EXPECT_EQ(dictionary_of(forest, read).sha256, read.dictionary);
  EXPECT_EQ(dictionary_of(forest, read).dict_txt, "/data/dict.txt");
  EXPECT_EQ(read.valid_ppl, std::nullopt);
  EXPECT_FALSE(x.cluster);
  ASSERT_TRUE(read.cluster);
  EXPECT_EQ(read.cluster->cluster, 10U);
  EXPECT_EQ(read.cluster->model_sha256, std::string(64, 'a'));
  ASSERT_EQ(read.parents.size(), 2U);
  EXPECT_EQ(read.parents[1].weight, 0.7000000000000001);  // every digit is kept
}

TEST(Forest, TakesTheReleasedLayoutByName) {
  const Forest forest = open_forest(golden("checkpoints"));
  EXPECT_FALSE(forest.has_manifest);
  const std::vector<std::string> names = names_of(forest);
  EXPECT_TRUE(std::ranges::is_sorted(names));
  ASSERT_NE(forest.find("elm_perl"), nullptr);
  EXPECT_TRUE(fs::is_regular_file(forest.checkpoint_of(*forest.find("elm_perl"))));
  EXPECT_EQ(forest.find("demix"), nullptr);  // it has shards, but no checkpoint_last.pt
}

TEST(Forest, TakesTheReleasedLayoutInNaturalOrderAndSaysWhatItTakes) {
  const btm_test::TempDir dir;
  std::vector<std::string> names;
  for (int cluster = 0; cluster < 12; ++cluster) {
    names.push_back("c" + std::to_string(cluster));
    fs::create_directories(dir / names.back());
    write_file(dir / names.back() / "checkpoint_last.pt", "");
  }
  const Forest forest = open_forest(dir.path());
  EXPECT_EQ(names_of(forest), names);
  EXPECT_EQ(compat::taken_as_experts(forest),
            dir.path().string() +
                " has no forest.json: all its 12 subfolders with a checkpoint_last.pt are taken as "
                "experts: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11");
}

TEST(Forest, IsLeftAsItWasWhenAChangeThrows) {
  const btm_test::TempDir dir;
  change_forest(dir.path(), [](Forest& forest) { forest.experts = {expert("x")}; });
  const std::string before = read_file(dir / "forest.json");
  EXPECT_THROW(change_forest(dir.path(),
                             [](Forest& forest) {
                               forest.experts.clear();
                               throw compat::UsageError("no");
                             }),
               compat::UsageError);
  EXPECT_EQ(read_file(dir / "forest.json"), before);
}

TEST(Forest, RejectsWhatIsNoFolder) {
  expect_error<compat::IoError>([] { open_forest("/nowhere"); }, "/nowhere: is not a folder");
}

TEST(Forest, RejectsBadManifests) {
  const auto of = [](const std::string& experts) {
    return R"({"btm_forest": 1, "experts": [)" + experts + "]}";
  };
  const auto with = [&](const std::string& fields) {
    return of(R"({"name": "a", "path": "a/m.pt", "parents": [])" + fields + "}");
  };
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "is not JSON"},
      {"{", "is not JSON"},
      {std::string(100000, '['), "nests deeper than 512 levels"},
      {"[]", "is not a JSON object"},
      {"{}", "[btm_forest]: expected version 1"},
      {R"({"btm_forest": 2, "experts": []})", "expected version 1"},
      {R"({"btm_forest": 1e999, "experts": []})", "is not JSON"},
      {R"({"btm_forest": 1})", "[experts]: expected a list"},
      {of("3"), "[experts[0]]: expected an object"},
      {of("{}"), "[experts[0].name]: expected a string"},
      {of(R"({"name": "../a"})"), "expected letters"},
      {of(R"({"name": ".a"})"), "expected letters"},
      {of(R"({"name": "a\u0000"})"), "zero byte"},
      {of(R"({"name": "a", "parents": []})"), "[experts[0].path]: expected a string"},
      {of(R"({"name": "a", "path": "/etc/passwd", "parents": []})"), "inside the forest"},
      {of(R"({"name": "a", "path": "b/../../x", "parents": []})"), "inside the forest"},
      {of(R"({"name": "a", "path": "", "parents": []})"), "inside the forest"},
      {of(R"({"name": "a", "path": "a/m.pt"})"), "[experts[0].parents]: expected a list"},
      {of(R"({"name": "a", "path": "a/m.pt", "parents": [{}]})"),
       "[experts[0].parents[0].model]: expected a string"},
      {of(R"({"name": "a", "path": "a/m.pt", "parents": [{"model": "b", "weight": -1}]})"),
       "weight]: expected a number"},
      {with(R"(, "cluster": 1.5)"), "[experts[0].cluster]: expected the number of a cluster"},
      {with(R"(, "cluster": -1)"), "[experts[0].cluster]: expected a number"},
      {with(R"(, "cluster": 1e300)"), "[experts[0].cluster]: expected the number of a cluster"},
      {with(R"(, "cluster": 1, "cluster_model_sha256": "ab")"),
       "[experts[0].cluster_model_sha256]: 'ab', expected 64 digits"},
      {with(R"(, "valid_ppl": "low")"), "[experts[0].valid_ppl]: expected a number"},
      {with(R"(, "dictionary_sha256": "d4")"),
       "[experts[0].dictionary_sha256]: 'd4', expected 64 digits"},
      {with(R"(, "complete": 1)"), "[experts[0].complete]: expected true or false"},
      {of(R"({"name": "a", "path": "a/m", "parents": []},)"
          R"({"name": "a", "path": "b/m", "parents": []})"),
       "[experts[1].name]: 'a' was given before"},
  };
  for (const auto& [manifest, phrase] : rows) {
    SCOPED_TRACE(manifest.substr(0, 200));
    const btm_test::TempDir dir;
    write_file(dir / "forest.json", manifest);
    expect_error<compat::FormatError>([&] { open_forest(dir.path()); }, phrase);
  }
}

TEST(Forest, NamesOfExpertsAreNamesOfFolders) {
  for (const char* good : {"perl", "1b", "a.b_c-d"})
    EXPECT_NO_THROW(compat::check_expert_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("-x"),
        std::string("a b"), std::string(201, 'a')})
    EXPECT_THROW(compat::check_expert_name(bad), compat::UsageError) << bad;
}

TEST(JoinedPaths, SeparatesByColons) {
  EXPECT_EQ(compat::joined_paths({}), "");
  EXPECT_EQ(compat::joined_paths({"a", "b c", "d"}), "a:b c:d");
  expect_error<compat::UsageError>(
      [] {
        compat::joined_paths({"a", "b:c"});
      },
      "'b:c' holds a ':', which separates paths");
}

TEST(UpdatesOf, ReadsTheLastEntryOfTheHistory) {
  EXPECT_EQ(compat::updates_of(golden("checkpoints/seed/checkpoint_1_100.pt")), 100);
}

}  // namespace
