#include "btm/branch/expert_cluster.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/forest.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

namespace fs = std::filesystem;
using btm::cluster_of_expert;

struct ExpertCluster : ::testing::Test {
  btm_test::TempDir dir;

  /// A checkpoint in a folder, trained on `data` and the `domains` in it.
  fs::path expert(const std::string& folder, const std::string& data,
                  const std::string& domains = "",
                  const std::string& name = "checkpoint_last.pt") const {
    fs::create_directories(dir / folder);
    const fs::path path = dir / folder / name;
    btm_test::write_tiny_checkpoint(path, {{name, {1}}},
                                    {{"task", "data", data}, {"task", "train_domains", domains}});
    return path;
  }

  static std::string found(const fs::path& checkpoint) {
    const auto origin = cluster_of_expert(checkpoint);
    return origin ? std::to_string(origin->cluster) + origin->model_sha256 : "none";
  }
};

TEST_F(ExpertCluster, IsThatOfItsDataOrItsName) {
  EXPECT_EQ(found(expert("elm", "/split/c10")), "10");
  EXPECT_EQ(found(expert("elm", "/split/c10/")), "10");
  EXPECT_EQ(found(expert("elm", "/split", "c3")), "3");
  EXPECT_EQ(found(expert("elm", "/split", "c3,c4")), "none");
  EXPECT_EQ(found(expert("c5", "/split")), "5");
  EXPECT_EQ(found(expert("c5", "/split/c6")),
            "6");  // its training data decide, not its name
  for (const char* const name : {"c", "c05", "c-1", "c1x", "C1", "x1", "c1234567"})
    EXPECT_EQ(found(expert(name, "/data")), "none") << name;
}

TEST_F(ExpertCluster, OfADemixRankIsThatOfItsDomain) {
  expert("demix", "/split", "c0,c2,c10", "checkpoint_last-shared.pt");
  // Ranks belong to domains in the order of names: c0, c10, c2.
  EXPECT_EQ(found(expert("demix", "/split", "c0,c2,c10", "checkpoint_last-rank-1.pt")), "10");
  EXPECT_EQ(found(expert("demix", "/split", "c0,c2,c10", "checkpoint_last-rank-2.pt")), "2");
  EXPECT_EQ(found(expert("demix", "/split", "c0,c2,c10", "checkpoint_last-rank-3.pt")), "none");
}

TEST_F(ExpertCluster, IsWhatTheManifestAndTheRecordOfTheDataSay) {
  const std::string sha(64, 'a'), other(64, 'b');
  fs::create_directories(dir / "split/law");
  btm::write_cluster_record(dir / "split/law", {2, sha, {"train.bin"}});
  const fs::path checkpoint = expert("forest/c1", (dir / "split/law").string());
  EXPECT_EQ(found(checkpoint), "2");
  compat::change_forest(dir / "forest", [&](compat::Forest& forest) {
    forest.experts.at(0).cluster = btm::ClusterOrigin{3, other};
  });
  EXPECT_EQ(found(checkpoint), "3" + other);
  EXPECT_EQ(found(dir / "forest/../forest/c1/checkpoint_last.pt"), "3" + other);
  compat::change_forest(dir / "forest",
                        [](compat::Forest& forest) { forest.experts.at(0).cluster.reset(); });
  EXPECT_EQ(found(checkpoint), "1");  // its domain in the manifest
}

TEST(ClusterRecord, RefusesWhatIsNone) {
  const btm_test::TempDir dir;
  EXPECT_FALSE(btm::read_cluster_record(dir.path()));
  const std::string sha = '"' + std::string(64, 'a') + '"';
  for (const std::string& text :
       {std::string("x"), std::string("[]"), std::string("{}"),
        "{\"btm_cluster\": 2, \"cluster\": 1, \"model_sha256\": " + sha + ", \"files\": []}",
        "{\"btm_cluster\": 1, \"cluster\": -1, \"model_sha256\": " + sha + ", \"files\": []}",
        std::string("{\"btm_cluster\": 1, \"cluster\": 1, \"model_sha256\": \"a\", \"files\": []}"),
        "{\"btm_cluster\": 1, \"cluster\": 1, \"model_sha256\": " + sha +
            ", \"files\": [\"../x\"]}",
        "{\"btm_cluster\": 1, \"cluster\": 1, \"model_sha256\": " + sha + ", \"files\": [\"..\"]}",
        "{\"btm_cluster\": 1, \"cluster\": 1, \"model_sha256\": " + sha + ", \"files\": [7]}"}) {
    btm_test::write_file(dir / "cluster.json", text);
    btm_test::expect_error<compat::FormatError>([&] { btm::read_cluster_record(dir.path()); },
                                                "cluster.json");
  }
}

}  // namespace
