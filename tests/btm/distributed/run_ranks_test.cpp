// Tests with real processes: tests/support/ranks_main.cpp, started by btm's launcher, or as
// torchrun and srun start it.
#include "btm/distributed/run_ranks.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "compat/program/resource_limits.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace {

using btm_test::own_port;
using btm_test::Process;
using Processes = std::vector<std::unique_ptr<Process>>;

std::unique_ptr<Process> rank_like(const std::string& action, int rank, int size, int port_offset,
                                   std::map<std::string, std::string> more = {}) {
  more.insert({{"MASTER_ADDR", "127.0.0.1"},
               {"MASTER_PORT", own_port(port_offset)},
               {"WORLD_SIZE", std::to_string(size)},
               {"RANK", std::to_string(rank)},
               {"OMP_NUM_THREADS", "1"}});
  return std::make_unique<Process>("ranks", std::vector<std::string>{action}, more);
}

Processes torchrun_like(const std::string& action, int size, int port_offset,
                        std::vector<std::string> args = {}) {
  args.insert(args.begin(), action);
  Processes ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<Process>(
        "ranks", args,
        std::map<std::string, std::string>{{"MASTER_ADDR", "127.0.0.1"},
                                           {"MASTER_PORT", own_port(port_offset)},
                                           {"WORLD_SIZE", std::to_string(size)},
                                           {"RANK", std::to_string(rank)},
                                           {"LOCAL_RANK", std::to_string(rank)},
                                           {"OMP_NUM_THREADS", "1"}}));
  return ranks;
}

int lines_of(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST(RunRanks, SumsGathersAndSplitsOverTwoAndFourProcesses) {
  for (const std::string size : {"1", "2", "4"}) {
    Process run("ranks", {"collectives", "--distributed-world-size", size});
    EXPECT_EQ(run.wait(), 0) << run.err();
    EXPECT_EQ(run.out(), "all well on " + size + " ranks\n");  // one rank prints
  }
}

TEST(RunRanks, GivesEveryRankItsPlaceAndItsShareOfTheCores) {
  ::unsetenv("OMP_NUM_THREADS");
  Process run("ranks", {"places", "--distributed-world-size", "3"});
  ASSERT_EQ(run.wait(), 0) << run.err();
  const std::string threads =
      " threads " + std::to_string(std::max(1, compat::usable_cores() / 3)) + "\n";
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
        "ranks",
        std::vector<std::string>{"places", "--distributed-world-size", "4", "--distributed-port",
                                 own_port(1)},
        std::map<std::string, std::string>{{"SLURM_STEP_ID", "0"},
                                           {"SLURM_STEP_NODELIST", "localhost"},
                                           {"SLURM_NTASKS", "2"},
                                           {"SLURM_PROCID", task},
                                           {"SLURM_LOCALID", task},
                                           {"OMP_NUM_THREADS", "1"}}));
  for (auto& task : tasks) EXPECT_EQ(task->wait(), 0) << task->err();
  EXPECT_EQ(tasks[0]->out(),
            "0/4 local 0 threads 1\n1/4 local 1 threads 1\n2/4 local 0 threads 1\n3/4 local 1 "
            "threads 1\n");
  EXPECT_EQ(tasks[1]->out(), "");
}

TEST(RunRanks, EscapesWhatARanksLibrariesWrote) {
  Process run("ranks", {"rude", "--distributed-world-size", "2", "--at", "1"});
  EXPECT_EQ(run.wait(), 3);
  EXPECT_EQ(run.err(), "library: \\x1b[31mred\\x9b\n");
}

TEST(RunRanks, EndsAllWithOneLineWhenARankIsKilled) {
  for (const std::string rank : {"0", "2"}) {
    Process run("ranks", {"killed", "--distributed-world-size", "4", "--at", rank});
    EXPECT_EQ(run.wait(), 128 + SIGKILL);
    EXPECT_EQ(run.err(), "ranks killed: error: rank " + rank +
                             " of 4 was killed by signal 9 (Killed); the other ranks were ended\n");
  }
}

TEST(RunRanks, NamesTheKilledRankWithoutALauncher) {
  for (const int killed : {0, 2}) {
    const Processes ranks =
        torchrun_like("killed", 3, 2 + killed, {"--at", std::to_string(killed)});
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->wait(), rank == killed ? 128 + SIGKILL : 1);
      if (rank != killed) {
        EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->err(),
                  "ranks killed: error: rank " + std::to_string(killed) + " of 3 is gone\n");
      }
    }
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
  EXPECT_EQ(run.wait(), 128 + SIGKILL);  // returns when no rank has the pipes open
}

/// All ranks end, each with one line that contains `phrase`.
void expect_end_of_all(const Processes& ranks, int status, const std::string& phrase) {
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank->wait(), status);
    EXPECT_NE(rank->err().find(phrase), std::string::npos) << rank->err();
    EXPECT_EQ(lines_of(rank->err()), 1) << rank->err();
  }
}

TEST(RunRanks, RefusesAnotherNumberOfRanks) {
  for (const std::vector<int>& sizes : std::vector<std::vector<int>>{{3, 2, 3}, {2, 3, 3}}) {
    Processes ranks;
    for (int rank = 0; rank < 3; ++rank)
      ranks.push_back(rank_like("collectives", rank, sizes[static_cast<std::size_t>(rank)], 5));
    expect_end_of_all(
        ranks, 2,
        "the ranks differ: the number of ranks (--distributed-world-size, WORLD_SIZE) is ");
  }
  Processes ranks;
  for (const int rank : {2, 0, 1})  // the one at fault is there before they meet
    ranks.push_back(rank_like("collectives", rank, rank == 2 ? 2 : 3, 5));
  expect_end_of_all(ranks, 2, "RANK='2' in the environment, expected 0 to 1 (WORLD_SIZE is 2)");
}

/// Ranks that were told of fewer ranks have begun when one comes that they do not expect.
TEST(RunRanks, EndsWhereARankExpectsFewerRanks) {
  for (const std::vector<int>& sizes : std::vector<std::vector<int>>{{1, 2}, {2, 2, 3}}) {
    const std::string fewer = std::to_string(sizes.front()), more = std::to_string(sizes.back());
    Processes ranks;
    for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
      if (rank == 2) ranks.front()->wait_for_output("all here");
      ranks.push_back(rank_like("killed", static_cast<int>(rank), sizes[rank], 8));
    }
    for (const auto& rank : ranks) {
      const int status = rank->wait();  // 1 where the rank has begun already
      EXPECT_TRUE(status == 2 || (status == 1 && rank != ranks.back())) << status;
      EXPECT_NE(rank->err().find("WORLD_SIZE) is " + fewer + " on rank "), std::string::npos)
          << rank->err();
      EXPECT_NE(rank->err().find(" and " + more + " on rank "), std::string::npos) << rank->err();
      EXPECT_EQ(lines_of(rank->err()), 1) << rank->err();
    }
  }
}

TEST(RunRanks, RefusesARankThatComesTwice) {
  for (const std::vector<int>& numbers : std::vector<std::vector<int>>{{0, 1, 1}, {0, 0, 2}}) {
    Processes ranks;
    for (const int rank : numbers) ranks.push_back(rank_like("collectives", rank, 3, 6));
    expect_end_of_all(ranks, 2, "rank " + std::to_string(numbers[1]) + " of 3 connected twice");
  }
}

TEST(RunRanks, SaysThatOpenFilesAreTooFew) {
  const std::string program = std::string(BTM_BIN_DIR) + "/ranks",
                    out = testing::TempDir() + "/btm-open-files-" + std::to_string(::getpid());
  const int status = std::system(("ulimit -n 20; '" + program +
                                  "' collectives --distributed-world-size 12 >'" + out + "' 2>&1")
                                     .c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(
      btm_test::read_file(out),
      "ranks collectives: error: ulimit -n: allows 20 open files, 12 ranks need at least 100\n");
  std::filesystem::remove(out);
}

/// Connects to the port where ranks meet, as soon as it is open.
int stranger(int port_offset) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(own_port(port_offset))));
  for (int tries = 0; tries < 600; ++tries) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error("nobody listens");
}

TEST(RunRanks, StrangersAtThePortDoNotDisturb) {
  const auto first = rank_like("collectives", 0, 2, 7);
  std::vector<int> connections;
  for (const std::string& said :
       std::vector<std::string>{"", "GET / HTTP/1.1\r\n\r\n", std::string(100000, '\xff'),
                                std::string(4096, '\0'), "\x01"}) {
    connections.push_back(stranger(7));
    EXPECT_GE(::send(connections.back(), said.data(), said.size(), MSG_NOSIGNAL), 0);
  }
  const auto second = rank_like("collectives", 1, 2, 7);
  for (const auto* rank : {&first, &second}) {
    EXPECT_EQ((*rank)->wait(), 0) << (*rank)->err();
    EXPECT_EQ((*rank)->out(), "all well on 2 ranks\n");
  }
  for (const int fd : connections) ::close(fd);
}

TEST(RunRanks, ARankOfAnotherRunIsTurnedAway) {
  for (const char* const variable : {"BTM_RUN_TOKEN", "TORCHELASTIC_RUN_ID"}) {
    const auto first = rank_like("collectives", 0, 2, 4, {{variable, "mine"}});
    const auto other = rank_like("collectives", 1, 2, 4, {{variable, "another"}});
    EXPECT_EQ(other->wait(), 2);
    EXPECT_NE(other->err().find("belong to another run"), std::string::npos) << other->err();
    const auto second = rank_like("collectives", 1, 2, 4, {{variable, "mine"}});
    EXPECT_EQ(second->wait(), 0) << second->err();
    EXPECT_EQ(first->wait(), 0) << first->err();
  }
}

/// The error names a stopped rank (stopped by a debugger or a machine that swaps), here the one
/// that has the store.
TEST(RunRanks, EndsWhenRankZeroIsStopped) {
  Process launched("ranks", {"killed", "--distributed-world-size", "3", "--at", "9"});
  const Processes ranks = torchrun_like("killed", 3, 2, {"--at", "9"});
  // A stop before the ranks have met is another error. The others notice after 30 seconds of their
  // own running time, which a busy machine stretches.
  launched.wait_for_output("all here");
  ranks[0]->wait_for_output("all here");
  launched.set_limit(std::chrono::minutes(3));
  for (const auto& rank : ranks) rank->set_limit(std::chrono::minutes(3));
  std::ifstream children("/proc/" + std::to_string(launched.pid()) + "/task/" +
                         std::to_string(launched.pid()) + "/children");
  pid_t first = 0;
  children >> first;
  ASSERT_GT(first, 0);
  ::kill(first, SIGSTOP);
  ::kill(ranks[0]->pid(), SIGSTOP);
  for (const int rank : {1, 2}) {
    EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->wait(), 1);
    EXPECT_EQ(ranks[static_cast<std::size_t>(rank)]->err(),
              "ranks killed: error: rank 0 of 3 does not answer\n");
  }
  EXPECT_NE(launched.wait(), 0);
  EXPECT_EQ(launched.err(),
            "ranks killed: error: rank 0 of 3 does not answer; the other ranks were ended\n");
}

}  // namespace
