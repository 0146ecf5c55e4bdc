// NCCL between several processes that share this machine's first GPU. NCCL allows that when it
// takes them for processes of several machines.
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/training.h"

namespace {

using btm_test::Args;
using btm_test::joined;
using btm_test::Process;
using btm_test::TempDir;
using Processes = std::vector<std::unique_ptr<Process>>;

class Nccl : public testing::Test {
 protected:
  void SetUp() override {
#ifdef BTM_CUDA
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
#else
    GTEST_SKIP() << "built without CUDA";
#endif
  }

  /// Runs `program` with `args` as `size` ranks.
  static Processes ranks_of(const std::string& program, const Args& args, int port_offset,
                            int size = 2) {
    const std::string port = btm_test::own_port(8 + port_offset);
    Processes ranks;
    for (int i = 0; i < size; ++i) {
      const std::string rank = std::to_string(i);
      ranks.push_back(std::make_unique<Process>(
          program,
          joined(args,
                 {"--distributed-world-size", std::to_string(size), "--distributed-rank", rank,
                  "--distributed-init-method", "tcp://127.0.0.1:" + port, "--device-id", "0"}),
          std::map<std::string, std::string>{{"NCCL_HOSTID", "host" + rank},
                                             {"NCCL_SOCKET_IFNAME", "lo"},
                                             {"NCCL_IB_DISABLE", "1"},
                                             {"OMP_NUM_THREADS", "1"}}));
    }
    return ranks;
  }
};

TEST_F(Nccl, SumsGathersAndSplits) {
  for (const int size : {2, 4})  // with four ranks, each half is also a group of NCCL
    for (auto& rank : ranks_of("ranks", {"collectives", "--gpu"}, size, size)) {
      EXPECT_EQ(rank->wait(), 0);
      EXPECT_EQ(rank->out(), "all well on " + std::to_string(size) + " ranks\n");
      EXPECT_EQ(rank->err(), "");
    }
}

TEST_F(Nccl, NamesTheKilledRank) {
  const Processes ranks = ranks_of("ranks", {"killed", "--gpu", "--at", "1"}, 1);
  EXPECT_EQ(ranks[1]->wait(), 128 + SIGKILL);
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[0]->err(), "ranks killed: error: rank 1 of 2 is gone\n");
}

/// While NCCL connects, only a silence of 30 seconds shows that the other rank is gone.
TEST_F(Nccl, LeavesWhenARankIsKilledBeforeTheFirstSum) {
  const Processes ranks = ranks_of("ranks", {"killed", "--gpu", "--early", "--at", "1"}, 5);
  EXPECT_EQ(ranks[1]->wait(), 128 + SIGKILL);
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[0]->err(), "ranks killed: error: rank 1 of 2 does not answer\n");
}

TEST_F(Nccl, EndsWhenARankFails) {
  const Processes ranks = ranks_of("ranks", {"failing", "--gpu", "--at", "1"}, 3);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_EQ(ranks[1]->err(), "ranks failing: error: the disk is full\n");
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[0]->err(), "ranks failing: error: rank 1 of 2 has failed\n");
}

/// Sums over ranks have another order, so the tolerances are those of train_ranks_test.
TEST_F(Nccl, TwoRanksTrainAsOne) {
  const TempDir dir;
  const auto command = [&](const std::string& folder, const Args& more) {
    return btm_test::train_command(
        "fortunes", dir / folder,
        joined({"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256",
                "--total-num-update", "60", "--warmup-updates", "5", "--disable-validation",
                "--max-update", "12", "--num-threads", "1"},
               more));
  };
  for (const Args& precision : {Args{}, Args{"--bf16"}}) {
    const std::string name = precision.empty() ? "fp32" : "bf16";
    const btm_test::Finished alone = btm_test::run_btm(command(
        name + "1", joined(precision, {"--update-freq", "2", "--distributed-world-size", "1"})));
    ASSERT_EQ(alone.status, 0) << alone.err;
    const Processes ranks = ranks_of("btm", command(name + "2", precision), 6);
    for (auto& rank : ranks) {
      EXPECT_EQ(rank->wait(), 0) << rank->err();
      EXPECT_EQ(rank->err(), "");
    }
    std::istringstream log(ranks[0]->out());
    const btm_test::Rows rows = btm_test::rows_of(log);
    ASSERT_EQ(rows.size(), 12U);
    for (const auto& [update, row] : rows)
      EXPECT_NEAR(btm_test::number(row, "loss"), btm_test::number(alone.rows.at(update), "loss"),
                  precision.empty() ? 0.0011 : 0.01)
          << name << update;
    if (precision.empty()) {
      EXPECT_LT(btm_test::model_difference(dir / (name + "1/checkpoint_last.pt"),
                                           dir / (name + "2/checkpoint_last.pt")),
                1e-4);
    }
  }
}

/// Two domains with two ranks each. The ranks of a domain share an expert, and all ranks share the
/// other parameters.
TEST_F(Nccl, DemixTrainsAnExpertPerGroup) {
  const TempDir dir;
  const Args flags{"--arch",
                   "transformer_lm_gpt3_small",
                   "--decoder-ffn-embed-dim",
                   "256",
                   "--total-num-update",
                   "60",
                   "--warmup-updates",
                   "5",
                   "--disable-validation",
                   "--max-update",
                   "4",
                   "--num-threads",
                   "1",
                   "--task",
                   "multidomain_language_modeling",
                   "--criterion",
                   "desynchronized_cross_entropy",
                   "--train-domains",
                   "fortunes,perl",
                   "--eval-domains",
                   "fortunes,perl",
                   "--desynchronize",
                   "--domain-parallel",
                   "--sync-type",
                   "manual",
                   "--untie-parameters",
                   "feedforward",
                   "--data-parallel-groups",
                   "0,1 2,3"};
  for (auto& rank : ranks_of("btm", btm_test::train_command("", dir / "s", flags), 7, 4))
    EXPECT_EQ(rank->wait(), 0) << rank->err();
  const auto shard = [&](int rank) {
    return dir / ("s/checkpoint_last-rank-" + std::to_string(rank) + ".pt");
  };
  const auto is_expert = [](const std::string& name) {
    return name.find(".fc") != std::string::npos;
  };
  EXPECT_EQ(btm_test::model_difference(shard(0), shard(1)), 0);
  EXPECT_EQ(btm_test::model_difference(shard(2), shard(3)), 0);
  EXPECT_GT(btm_test::model_difference(shard(1), shard(2), is_expert), 1e-4);
  EXPECT_EQ(btm_test::model_difference(shard(1), shard(2),
                                       [&](const std::string& name) { return !is_expert(name); }),
            0);
}

}  // namespace
