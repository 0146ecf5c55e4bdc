#include "btm/run/project.h"

#include <gtest/gtest.h>

#include "btm/cluster/cluster_notes.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using btm_test::write_file;
using Names = std::vector<std::string>;

/// A corpus of two clusters, and a command that names them.
struct ClusteredProject {
  TempDir dir;

  ClusteredProject() {
    write_plan();
    write_file(dir / "all.txt", "one\n");
    finish_clusters();
    write_cluster_names((dir / "out/clusters/model").string(), "sum", {"law", "code"});
  }
  void write_plan(const std::string& more = {}) const {
    write_file(dir / "my.plan",
               "[run]\noutput = out\n[data]\ncorpus = all.txt\n[clusters]\nnumber = 2\n"
               "[train]\nupdates = 4\n" +
                   more);
  }
  Plan plan() const { return load_plan(dir / "my.plan"); }
  /// As if the step's command had run.
  void finish_clusters() const {
    Project project(plan(), {});
    const Step& step = project.graph().at("clusters");
    project.state().begin(step, project.key_of(step));
    write_file(dir / "out/clusters/model", "a model of all.txt");
    project.state().mark_done(step, project.key_of(step), 1);
  }
  /// The domains of a new process.
  Names domains() const { return Project(plan(), {}).plan().domains; }
};

TEST(Project, NamesItsClustersAsTheUserDid) {
  const ClusteredProject files;
  EXPECT_EQ(files.domains(), (Names{"law", "code"}));
  EXPECT_TRUE(Project(files.plan(), {}).notes().empty());
}

TEST(Project, LeavesTheNamesOfClustersThatAreMadeAnew) {
  const ClusteredProject files;
  write_file(files.dir / "all.txt", "two\n");
  Project changed(files.plan(), {});
  EXPECT_EQ(changed.plan().domains, (Names{"c0", "c1"}));
  ASSERT_EQ(changed.notes().size(), 1u);
  EXPECT_NE(changed.notes()[0].find(
                "the domains are c0, c1: the clusters that were named law, code are made anew"),
            std::string::npos);
  changed.graph().at("expert.c0");
  changed.prepare();
  EXPECT_EQ(files.domains(), (Names{"c0", "c1"})) << "of the steps' processes";
  files.finish_clusters();
  EXPECT_EQ(files.domains(), (Names{"c0", "c1"}));
}

TEST(Project, TakesNamesUpWithTheirClusters) {
  const ClusteredProject files;
  write_file(files.dir / "all.txt", "two\n");
  Project(files.plan(), {}).prepare();
  files.finish_clusters();
  write_file(files.dir / "all.txt", "one\n");
  Project back(files.plan(), {});
  EXPECT_EQ(back.plan().domains, (Names{"law", "code"}));
  EXPECT_EQ(back.notes(), (Names{"earlier clusters are taken up with their names: law, code"}));
  back.prepare();
  EXPECT_EQ(files.domains(), (Names{"law", "code"}));
}

TEST(Project, RefusesAPlanThatNamesClustersOfAnotherCorpus) {
  const ClusteredProject files;
  files.write_plan("[experts]\ndomains = law\n");
  EXPECT_EQ(files.domains(), (Names{"law", "code"}));
  write_file(files.dir / "all.txt", "two\n");
  expect_error<compat::FormatError>(
      [&] { files.domains(); },
      "my.plan[line 10]: [experts] names domain 'law', which the plan does "
      "not have: the domains are c0, c1");
}

TEST(Project, LeavesTheNamesOfClustersThatAreRedone) {
  const ClusteredProject files;
  Project project(files.plan(), {.redone = "clusters"});
  EXPECT_EQ(project.plan().domains, (Names{"c0", "c1"}));
  project.state().set_results_aside(Names{"clusters"});
  project.prepare();
  files.finish_clusters();
  EXPECT_EQ(files.domains(), (Names{"c0", "c1"}));
}

TEST(Project, DoesNotTakeUpTheResultOfAStepThatIsRedone) {
  const ClusteredProject files;
  const auto state_after_redo = [&](const std::string& redone) {
    Project project(files.plan(), {.redone = redone});
    project.state().set_results_aside(Names{"clusters"});
    project.prepare();
    const Step& step = project.graph().at("clusters");
    return project.states().at(static_cast<std::size_t>(&step - project.graph().steps().data()));
  };
  EXPECT_EQ(state_after_redo(""), "done") << "taken up";
  EXPECT_EQ(state_after_redo("clusters"), "to do");
}

}  // namespace
}  // namespace btm
