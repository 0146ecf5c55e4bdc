// Real processes: tests/support/ranks_main.cpp, started by our launcher, as torchrun would or as srun would.
#include "btm/distributed/run_ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "tests/support/process.h"

namespace {

using btm_test::own_port;
using btm_test::Process;
using Processes = std::vector<std::unique_ptr<Process>>;

constexpr auto kSeconds = std::chrono::seconds(20);  // to end in; with a busy machine in mind

Processes torchrun_like(const std::string& action, int size, int port_offset, std::vector<std::string> args = {}) {
  args.insert(args.begin(), action);
  Processes ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<Process>("ranks", args,
                                              std::map<std::string, std::string>{{"MASTER_ADDR", "127.0.0.1"},
                                                                                 {"MASTER_PORT", own_port(port_offset)},
                                                                                 {"WORLD_SIZE", std::to_string(size)},
                                                                                 {"RANK", std::to_string(rank)},
                                                                                 {"LOCAL_RANK", std::to_string(rank)},
                                                                                 {"OMP_NUM_THREADS", "1"}}));
  return ranks;
}

int lines_of(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

TEST(RunRanks, SumsGathersAndSplitsOverTwoAndFourProcesses) {
  for (const std::string size : {"1", "2", "4"}) {
    Process run("ranks", {"collectives", "--distributed-world-size", size});
    EXPECT_EQ(run.wait(), 0) << run.err();
    EXPECT_EQ(run.out(), "all well on " + size + " ranks\n");  // one rank speaks
  }
}

TEST(RunRanks, GivesEveryRankItsPlaceAndItsShareOfTheCores) {
  ::unsetenv("OMP_NUM_THREADS");
  Process run("ranks", {"places", "--distributed-world-size", "3"});
  ASSERT_EQ(run.wait(), 0) << run.err();
  const std::string threads = " threads " + std::to_string(std::max(1U, std::thread::hardware_concurrency() / 3)) + "\n";
  EXPECT_EQ(run.out(), "0/3 local 0" + threads + "1/3 local 1" + threads + "2/3 local 2" + threads);
}

TEST(RunRanks, MeetsAsTorchrunSays) {
  for (auto& rank : torchrun_like("collectives", 2, 0)) {
    EXPECT_EQ(rank->wait(), 0) << rank->err();
    EXPECT_EQ(rank->out(), "all well on 2 ranks\n");
  }
}

TEST(RunRanks, MeetsAsSlurmSaysAndStartsRanksInATask) {
  Processes tasks;
  for (const std::string task : {"0", "1"})
    tasks.push_back(std::make_unique<Process>(
        "ranks", std::vector<std::string>{"places", "--distributed-world-size", "4", "--distributed-port", own_port(1)},
        std::map<std::string, std::string>{{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NODELIST", "localhost"}, {"SLURM_NTASKS", "2"},
                                           {"SLURM_PROCID", task}, {"SLURM_LOCALID", task}, {"OMP_NUM_THREADS", "1"}}));
  for (auto& task : tasks) EXPECT_EQ(task->wait(), 0) << task->err();
  EXPECT_EQ(tasks[0]->out(), "0/4 local 0 threads 1\n1/4 local 1 threads 1\n2/4 local 0 threads 1\n3/4 local 1 threads 1\n");
  EXPECT_EQ(tasks[1]->out(), "");
}

TEST(RunRanks, EndsAllWithOneLineWhenARankIsKilled) {
  for (const std::string rank : {"0", "2"}) {
    const auto start = std::chrono::steady_clock::now();
    Process run("ranks", {"killed", "--distributed-world-size", "4", "--at", rank});
    EXPECT_EQ(run.wait(), 128 + SIGKILL);
    EXPECT_EQ(run.err(), "ranks killed: error: rank " + rank + " of 4 was killed by signal 9 (Killed); the other ranks were ended\n");
    EXPECT_LT(std::chrono::steady_clock::now() - start, kSeconds);
  }
}

TEST(RunRanks, NamesTheKilledRankWithoutALauncher) {
  for (const int killed : {0, 2}) {
    const auto start = std::chrono::steady_clock::now();
    const Processes ranks = torchrun_like("killed", 3, 2 + killed, {"--at", std::to_string(killed)});
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->wait(), rank == killed ? 128 + SIGKILL : 1);
      if (rank != killed) {
        EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->err(), "ranks killed: error: rank " + std::to_string(killed) + " of 3 is gone\n");
      }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, kSeconds);
  }
}

TEST(RunRanks, SaysOnceWhyARankFailed) {
  for (const std::string rank : {"0", "1", "-1"}) {  // -1: all of them
    Process run("ranks", {"failing", "--distributed-world-size", "3", "--at", rank});
    EXPECT_EQ(run.wait(), 1);
    EXPECT_EQ(run.err(), "ranks failing: error: the disk is full\n");
  }
}

TEST(RunRanks, PassesSignalsOn) {
  for (const int number : {SIGTERM, SIGUSR1}) {
    Process run("ranks", {"waiting", "--distributed-world-size", "2"});
    run.wait_for_output("ready");
    ::kill(run.pid(), number);
    EXPECT_EQ(run.wait(), 128 + number);
    EXPECT_EQ(lines_of(run.err()), 0) << run.err();
  }
}

TEST(RunRanks, TakesItsRanksAlongWhenItIsKilled) {
  Process run("ranks", {"waiting", "--distributed-world-size", "2"});
  run.wait_for_output("ready");
  ::kill(run.pid(), SIGKILL);
  EXPECT_EQ(run.wait(), 128 + SIGKILL);  // returns when no rank holds the pipes any longer
}

}  // namespace
