// NCCL between two processes. They share this machine's first GPU, which NCCL allows where it takes them for processes of two machines.
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

  /// `program` with `args` as ranks 0 and 1.
  static Processes two_ranks(const std::string& program, const Args& args, int port_offset) {
    const std::string port = std::to_string(20000 + (::getpid() * 16 + 8 + port_offset) % 12000);
    Processes ranks;
    for (const std::string rank : {"0", "1"})
      ranks.push_back(std::make_unique<Process>(
          program,
          joined(args, {"--distributed-world-size", "2", "--distributed-rank", rank, "--distributed-init-method", "tcp://127.0.0.1:" + port,
                        "--device-id", "0"}),
          std::map<std::string, std::string>{{"NCCL_HOSTID", "host" + rank}, {"NCCL_SOCKET_IFNAME", "lo"}, {"NCCL_IB_DISABLE", "1"},
                                             {"OMP_NUM_THREADS", "1"}}));
    return ranks;
  }
};

TEST_F(Nccl, SumsGathersAndSplits) {
  for (auto& rank : two_ranks("ranks", {"collectives", "--gpu"}, 0)) {
    EXPECT_EQ(rank->wait(), 0);
    EXPECT_EQ(rank->out(), "all well on 2 ranks\n");
    EXPECT_EQ(rank->err(), "");
  }
}

TEST_F(Nccl, NamesTheKilledRank) {
  const Processes ranks = two_ranks("ranks", {"killed", "--gpu", "--at", "1"}, 1);
  EXPECT_EQ(ranks[1]->wait(), 128 + SIGKILL);
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[0]->err(), "ranks killed: error: rank 1 of 2 is gone\n");
}

TEST_F(Nccl, EndsWhenARankFails) {
  const Processes ranks = two_ranks("ranks", {"failing", "--gpu", "--at", "1"}, 2);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_EQ(ranks[1]->err(), "ranks failing: error: the disk is full\n");
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[0]->err(), "ranks failing: error: rank 1 of 2 is gone\n");
}

/// Sums over ranks come in another order, hence the tolerances (of train_ranks_test).
TEST_F(Nccl, TwoRanksTrainAsOne) {
  const TempDir dir;
  const auto command = [&](const std::string& folder, const Args& more) {
    return btm_test::train_command("fortunes", dir / folder,
                                   joined({"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256", "--total-num-update", "60",
                                           "--warmup-updates", "5", "--disable-validation", "--max-update", "12", "--num-threads", "1"},
                                          more));
  };
  for (const Args& precision : {Args{}, Args{"--bf16"}}) {
    const std::string name = precision.empty() ? "fp32" : "bf16";
    const btm_test::Finished alone = btm_test::run_btm(command(name + "1", joined(precision, {"--update-freq", "2", "--distributed-world-size", "1"})));
    ASSERT_EQ(alone.status, 0) << alone.err;
    const Processes ranks = two_ranks("btm", command(name + "2", precision), 3);
    for (auto& rank : ranks) {
      EXPECT_EQ(rank->wait(), 0) << rank->err();
      EXPECT_EQ(rank->err(), "");
    }
    std::istringstream log(ranks[0]->out());
    const btm_test::Rows rows = btm_test::rows_of(log);
    ASSERT_EQ(rows.size(), 12U);
    for (const auto& [update, row] : rows)
      EXPECT_NEAR(btm_test::number(row, "loss"), btm_test::number(alone.rows.at(update), "loss"), precision.empty() ? 0.0011 : 0.01) << name << update;
    if (precision.empty()) {
      EXPECT_LT(btm_test::model_difference(dir / (name + "1/checkpoint_last.pt"), dir / (name + "2/checkpoint_last.pt")), 1e-4);
    }
  }
}

}  // namespace
