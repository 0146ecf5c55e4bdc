#include "btm/run/slurm_executor.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/files.h"

namespace btm {
namespace {

Step step(const std::string& name, std::vector<std::string> after, const std::string& group = {},
          std::int64_t gpus = 0) {
  Step made;
  made.name = name;
  made.after = std::move(after);
  made.group = group;
  made.gpus = gpus;
  return made;
}

StepGraph forest() {
  return StepGraph({step("seed", {}, "", 4), step("expert.a", {"seed"}, "experts", 2),
                    step("expert.b", {"seed"}, "experts", 2),
                    step("evaluate", {"expert.a", "expert.b"})});
}

CommandLine one_step(const std::string& name) { return {"btm", "run", "my plan", "--step", name}; }

TEST(SlurmBatches, PutStepsThatAreAlikeIntoAnArray) {
  const StepGraph graph = forest();
  const auto batches = slurm_batches(graph, {});
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[1].name, "experts");
  EXPECT_EQ(batches[1].steps.size(), 2u);
  EXPECT_EQ(batches[1].gpus, 2);
}

TEST(SlurmBatches, LeaveOutWhatIsNotToBeSubmitted) {
  const StepGraph graph = forest();
  const auto batches = slurm_batches(graph, {"seed", "expert.a"});
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].steps.size(), 1u);
  EXPECT_EQ(batches[0].steps[0]->name, "expert.b");
}

TEST(SlurmBatches, WaitForThePredecessorsOfAllTheirSteps) {
  const StepGraph graph({step("p.a", {}), step("p.b", {}), step("expert.a", {"p.a"}, "experts"),
                         step("expert.b", {"p.b"}, "experts")});
  const auto batches = slurm_batches(graph, {});
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_NE(shell_text(sbatch_command(batches[2], {{"p.a", "1"}, {"p.b", "2"}}, Plan(), "s", "l"))
                .find("--dependency=afterok:1:2 "),
            std::string::npos);
}

TEST(SbatchCommand, DependsOnTheJobsOfPredecessors) {
  const StepGraph graph = forest();
  const auto batches = slurm_batches(graph, {});
  Plan plan;
  plan.slurm_flags = {"--partition=big"};
  const CommandLine experts = sbatch_command(batches[1], {{"seed", "7"}}, plan, "s.sh", "l.log");
  EXPECT_EQ(shell_text(experts),
            "sbatch --parsable --requeue --open-mode=append --kill-on-invalid-dep=yes "
            "--job-name=btm-experts --output=l.log --array=0-1 --gres=gpu:2 "
            "--dependency=afterok:7 --partition=big s.sh");
  const CommandLine evaluate =
      sbatch_command(batches[2], {{"expert.a", "8_0"}, {"expert.b", "8_1"}}, plan, "s.sh", "l.log");
  EXPECT_NE(shell_text(evaluate).find("--dependency=afterok:8_0:8_1 "), std::string::npos);
  EXPECT_EQ(shell_text(sbatch_command(batches[1], {}, plan, "s.sh", "l.log")).find("--dependency"),
            std::string::npos)
      << "the seed is done";
}

TEST(SbatchScript, RunsTheStepOfItsTask) {
  const StepGraph graph = forest();
  const std::string script = sbatch_script(slurm_batches(graph, {})[1], one_step);
  EXPECT_EQ(script,
            "#!/bin/sh\n# Written by btm run.\ncase ${SLURM_ARRAY_TASK_ID:-0} in\n"
            "0) exec btm run 'my plan' --step expert.a ;;\n1) exec btm run 'my plan' --step "
            "expert.b ;;\nesac\n");
}

TEST(ParseSqueue, ReadsJobsAndPassesOverOtherLines) {
  const auto jobs =
      parse_squeue("12|RUNNING|node1\n13_0|PENDING|(Dependency)\nslurm_load_jobs error\n|x\n");
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs.at("12"), "RUNNING|node1");
  EXPECT_EQ(jobs.at("13_0"), "PENDING|(Dependency)");
}

/// Programs sbatch and squeue in place of Slurm's, as long as this lives. The jobs leave nothing.
class SlurmOfScripts {
 public:
  SlurmOfScripts() : path_(std::getenv("PATH")) {
    for (const auto& [name, script] : {std::pair{"sbatch", "echo 7"}, {"squeue", "true"}}) {
      btm_test::write_file(dir_ / name, std::string("#!/bin/sh\n") + script + "\n");
      std::filesystem::permissions(dir_ / name, std::filesystem::perms::owner_all);
    }
    ::setenv("PATH", (dir_.path().string() + ":" + path_).c_str(), 1);
  }
  ~SlurmOfScripts() { ::setenv("PATH", path_.c_str(), 1); }
  SlurmOfScripts(const SlurmOfScripts&) = delete;
  SlurmOfScripts& operator=(const SlurmOfScripts&) = delete;

 private:
  btm_test::TempDir dir_;
  std::string path_;
};

TEST(SlurmExecutor, ReportsNoFailureOfAnEarlierAttempt) {
  const SlurmOfScripts slurm;
  const btm_test::TempDir dir;
  const StepGraph graph({step("a", {}), step("b", {"a"})});
  RunState state(dir / "run");
  const KeyedGraph keyed{graph, graph.keys([](const auto&) { return ""; })};
  state.mark_failed("a", {1, "of an earlier attempt"});
  const RunResult result = run_on_slurm(keyed, state, Plan(), one_step, {});
  EXPECT_TRUE(result.failed.empty());
  EXPECT_FALSE(state.failure_of("a"));
}

}  // namespace
}  // namespace btm
