#include "compat/checkpoint/expert_check.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/files.h"

namespace {

using btm_test::golden;
using btm_test::TempDir;
using btm_test::write_file;
namespace fs = std::filesystem;

/// A forest of two golden experts.
struct TwoExperts {
  TempDir dir;

  TwoExperts() {
    for (const char* const name : {"jargon", "politics"}) {
      fs::create_directories(dir / name);
      fs::copy_file(golden("checkpoints/elm_" + std::string(name) + "/checkpoint_last.pt"),
                    dir / name / "checkpoint_last.pt");
    }
    compat::change_forest(dir.path(), [](compat::Forest&) {});
  }

  std::string problem(const std::string& expert) const {
    for (const auto& finding : compat::check_forest(compat::open_forest(dir.path())))
      if (finding.expert == expert) return finding.problem;
    return "is not found";
  }
};

TEST(ExpertCheck, FindsNothingInAWholeForest) {
  const TwoExperts forest;
  EXPECT_EQ(forest.problem("jargon"), "");
  EXPECT_EQ(forest.problem("politics"), "");
}

TEST(ExpertCheck, FindsWhatIsMissingDamagedOrOfAnotherSize) {
  const TwoExperts forest;
  fs::remove(forest.dir / "jargon/checkpoint_last.pt");
  EXPECT_NE(forest.problem("jargon").find("does not exist"), std::string::npos);
  write_file(forest.dir / "jargon/checkpoint_last.pt", "x");
  EXPECT_NE(forest.problem("jargon").find("jargon/checkpoint_last.pt"), std::string::npos);
  compat::change_forest(forest.dir.path(), [](compat::Forest& now) {
    now.find("politics")->dictionary = std::string(64, 'a');
  });
  EXPECT_EQ(forest.problem("politics"), "") << "the checkpoint does not know its dictionary";
}

TEST(ExpertCheck, NamesFoldersThatTheManifestDoesNot) {
  const TwoExperts forest;
  compat::change_forest(forest.dir.path(), [](compat::Forest& now) {
    std::erase_if(now.experts, [](const auto& expert) { return expert.name == "jargon"; });
  });
  EXPECT_NE(forest.problem("jargon").find("the manifest does not name"), std::string::npos);
  compat::change_forest(forest.dir.path(), [](compat::Forest& now) {
    now.removed.push_back(now.experts.front());
    now.removed.back().name = "jargon";
  });
  EXPECT_EQ(forest.problem("jargon"), "is not found") << "it was removed";
  EXPECT_EQ(compat::open_forest(forest.dir.path()).removed.size(), 1u);
}

TEST(StateOfAnExpert, SaysWhatIsMissing) {
  const TwoExperts made;
  compat::Forest forest = compat::open_forest(made.dir.path());
  EXPECT_EQ(compat::state_of(forest, forest.experts[0]), "complete");
  forest.experts[0].complete = false;
  EXPECT_EQ(compat::state_of(forest, forest.experts[0]), "to be continued");
  fs::remove(made.dir / "politics/checkpoint_last.pt");
  EXPECT_EQ(compat::state_of(forest, forest.experts[1]), "missing");
}

}  // namespace
