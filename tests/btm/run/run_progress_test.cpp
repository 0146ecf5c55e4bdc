#include "btm/run/run_progress.h"

#include <gtest/gtest.h>

#include "btm/run/build_steps.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::TempDir;
using btm_test::write_file;

constexpr const char* kPlan = "[data]\ndomains = a, b\ntext = {domain}\n[train]\nupdates = 100\n";

struct Begun {
  TempDir dir;
  Plan plan;
  Lineup lineup;
  StepGraph graph;
  RunState state;

  explicit Begun(const std::string& text = kPlan)
      : plan(parse_plan(text, dir / "my.plan")),
        lineup(lineup_of(plan)),
        graph(build_steps(plan)),
        state(dir / "out") {}
  std::set<std::string> all() const {
    std::set<std::string> names;
    for (const Step& step : graph.steps()) names.insert(step.name);
    return names;
  }
};

TEST(RunProgress, CountsTrainingByItsUpdates) {
  const Begun run;
  const RunProgress progress(run.plan, run.lineup, run.graph);
  EXPECT_EQ(progress.share({}, {}, run.state), 0);
  EXPECT_NEAR(progress.share(run.all(), {}, run.state), 1, 1e-12);
  // The seed model takes two updates of an expert for each of its own: 100 of 400, as 50 updates of
  // each expert (100) and the dense baseline (100) follow.
  EXPECT_NEAR(progress.share({"seed"}, {}, run.state), 1.0 / 3, 0.01);
  write_file(run.state.log_of("expert.a"), "{\"num_updates\": \"75\"}\n");
  EXPECT_NEAR(progress.share({"seed"}, {"expert.a"}, run.state), 1.0 / 3 + 1.0 / 12, 0.01);
  write_file(run.state.log_of("expert.a"), "{\"num_updates\": \"7500\"}\n");
  EXPECT_NEAR(progress.share({"seed"}, {"expert.a"}, run.state), 1.0 / 3 + 1.0 / 6, 0.01);
}

TEST(RunProgress, ShowsWhatRunsInsideAStep) {
  const Begun run;
  const RunProgress progress(run.plan, run.lineup, run.graph);
  write_file(run.state.log_of("expert.a"), "{\"num_updates\": \"75\"}\n");
  write_file(run.state.log_of("evaluate"), "eval-matrix: 1 / 4 model=seed, domain=b\n");
  EXPECT_EQ(progress.text({"expert.a", "evaluate", "average"}, run.state),
            "expert.a (update 75/100), evaluate (25%, model=seed, domain=b), average");
}

TEST(SmallTestSets, AreNamedBeforeTheRun) {
  const Begun run;
  std::filesystem::create_directories(run.dir / "a");
  std::filesystem::create_directories(run.dir / "b");
  write_file(run.dir / "a/test.txt", std::string(4100, 'x'));
  write_file(run.dir / "b/test.txt", std::string(16000, 'x'));
  EXPECT_EQ(small_test_sets(run.plan, run.lineup),
            std::vector<std::string>{
                "the test text of a is small (4 kB): an interval, and with it a verdict, needs "
                "about 5,120 tokens, some 16 kB"});
  Plan other = run.plan;
  other.eval_flags = {"--block-tokens", "64"};
  EXPECT_TRUE(small_test_sets(other, run.lineup).empty());
}

TEST(SmallTestSets, CountTheShareThatIsHeldOut) {
  const Begun run(
      "[data]\ndomains = a, b\ntrain = {domain}.txt\nheld_out = 0.1\n[train]\nupdates = 100\n");
  write_file(run.dir / "a.txt", std::string(160'000, 'x'));
  write_file(run.dir / "b.txt", std::string(153'000, 'x'));  // just too little
  const auto lines = small_test_sets(run.plan, run.lineup);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines.front().find("the test text of b is small (15 kB)"), 0U) << lines.front();
}

}  // namespace
}  // namespace btm
