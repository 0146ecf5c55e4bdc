// btm train on several real processes over Gloo. The numbers are the same for any number of ranks,
// and on four those of fairseq. Also tests DeMIX.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/support/training.h"

namespace {

using btm_test::Args;
using btm_test::golden;
using btm_test::joined;
using btm_test::kDomains;
using btm_test::model_difference;
using btm_test::number;
using btm_test::Process;
using btm_test::Rows;
using btm_test::TempDir;

constexpr const char* kDomainList = "fortunes,jargon,perl,politics";

/// The command of a golden run on `ranks` processes.
Args command(int ranks, const std::filesystem::path& save_dir, const Args& more) {
  const Args flags{"--arch",
                   "transformer_lm_gpt3_small",
                   "--decoder-ffn-embed-dim",
                   "256",
                   "--total-num-update",
                   "200",
                   "--warmup-updates",
                   "16",
                   "--disable-validation",
                   "--distributed-world-size",
                   std::to_string(ranks),
                   "--num-threads",
                   "1"};
  const Args args = btm_test::train_command("", save_dir, joined(flags, more));
  return btm_test::test_gpu() ? joined(args, {"--cpu"})
                              : args;  // there may be fewer GPUs than ranks
}

const Args kMultidomain{"--task",          "multidomain_language_modeling",
                        "--criterion",     "desynchronized_cross_entropy",
                        "--train-domains", kDomainList,
                        "--eval-domains",  kDomainList};

Rows run(const Args& args) {
  btm_test::Finished run = btm_test::run_btm(args);
  EXPECT_EQ(run.status, 0) << run.err;
  return std::move(run.rows);
}

bool is_expert(const std::string& name) {
  return name.find(".fc1.") != std::string::npos || name.find(".fc2.") != std::string::npos;
}
bool is_shared(const std::string& name) { return !is_expert(name); }

TEST(TrainRanks, FourRanksFollowFairseqsFourRanks) {
  TempDir dir;
  const Rows mine =
      run(command(4, dir / "s",
                  joined(kMultidomain, {"--max-update", "30", "--restore-file",
                                        golden("training/single/initial_weights.pt").string()})));
  std::ifstream log(golden("training/multidomain/log.jsonl"));
  const Rows theirs = btm_test::rows_of(log);
  ASSERT_EQ(mine.size(), 30U);
  for (const auto& [update, row] : mine) {
    const nlohmann::json& other = theirs.at(update);
    EXPECT_NEAR(number(row, "loss"), number(other, "loss"), 0.002)
        << update;  // three decimals are printed
    EXPECT_NEAR(number(row, "gnorm"), number(other, "gnorm"),
                0.002 * number(other, "gnorm") + 0.0005)
        << update;
    EXPECT_EQ(row.at("lr"), other.at("lr")) << update;
    EXPECT_EQ(row.at("wpb"), other.at("wpb")) << update;
    for (std::size_t domain = 0; domain < kDomains.size(); ++domain) {
      const double fairseqs = number(other, "ppl_" + std::to_string(domain));
      EXPECT_NEAR(number(row, "ppl_" + kDomains[domain]), fairseqs, 1e-3 * fairseqs) << update;
    }
  }
}

/// btm eval-lm's loss on part of fortunes' test set, with all digits.
double evaluated(const std::filesystem::path& checkpoint, const std::filesystem::path& results) {
  Process process(
      "btm", {"eval-lm", golden("data-bin/fortunes").string(), "--path", checkpoint.string(),
              "--gen-subset", "test_fortunes", "--tokens-per-sample", "128", "--batch-size", "2",
              "--max-samples", "4", "--quiet", "--cpu", "--results-path", results.string()});
  EXPECT_EQ(process.wait(), 0) << process.err();
  return nlohmann::json::parse(btm_test::read_file(results)).at("loss_base2").get<double>();
}

/// The log has three decimals; the loss of the trained model has all. Sums over ranks have another
/// order, and Adam divides by small second moments. That explains the tolerance of the weights.
TEST(TrainRanks, OneTwoAndFourRanksComeToTheSame) {
  TempDir dir;
  std::map<int, Rows> rows;
  for (const int ranks : {1, 2, 4})
    rows[ranks] = run(command(ranks, dir / std::to_string(ranks),
                              joined(kMultidomain, {"--unbalanced", "--max-update", "12",
                                                    "--update-freq", std::to_string(4 / ranks)})));
  const double loss = evaluated(dir / "1/checkpoint_last.pt", dir / "1/results.json");
  for (const int ranks : {2, 4}) {
    const std::filesystem::path folder = dir / std::to_string(ranks);
    EXPECT_NEAR(evaluated(folder / "checkpoint_last.pt", folder / "results.json"), loss, 1e-4)
        << ranks << " ranks";
    for (std::int64_t update = 1; update <= 12; ++update) {
      EXPECT_NEAR(number(rows[ranks].at(update), "loss"), number(rows[1].at(update), "loss"),
                  1e-3 + 1e-9)
          << ranks << " ranks, update " << update;
      EXPECT_EQ(rows[ranks].at(update).at("wpb"), rows[1].at(update).at("wpb"));
    }
    EXPECT_LT(model_difference(dir / "1/checkpoint_last.pt", folder / "checkpoint_last.pt"), 1e-4)
        << ranks << " ranks";
  }
}

TEST(TrainRanks, UnevenShardsEndTheEpochTogether) {
  // 61 blocks in batches of 2 are 31 batches. With three ranks the first has one more than the
  // others, with four the last has one less. Updates of two batches leave a rank with one or none.
  TempDir dir;
  for (const int ranks : {3, 4}) {
    Process process(
        "btm", command(ranks, dir / std::to_string(ranks),
                       joined(kMultidomain,
                              {"--unbalanced", "--train-subset", "valid_perl", "--train-domains",
                               "perl", "--max-epoch", "2", "--update-freq", "2"})));
    EXPECT_EQ(process.wait(), 0) << process.err();
    EXPECT_NE(process.out().find("done training"), std::string::npos) << process.out();
  }
}

class Demix : public testing::Test {
 protected:
  Args flags(const std::string& groups, int updates) const {
    return joined(kMultidomain, {"--desynchronize", "--domain-parallel", "--sync-type", "manual",
                                 "--untie-parameters", "feedforward", "--data-parallel-groups",
                                 groups, "--max-update", std::to_string(updates)});
  }
  std::filesystem::path shard(const std::string& folder, int rank) const {
    return dir_ / (folder + "/checkpoint_last-rank-" + std::to_string(rank) + ".pt");
  }
  TempDir dir_;
};

TEST_F(Demix, SharesAllButTheExperts) {
  run(command(4, dir_ / "s", flags("0 1 2 3", 4)));
  for (const int rank : {1, 2, 3}) {
    EXPECT_EQ(model_difference(shard("s", 0), shard("s", rank), is_shared), 0);
    EXPECT_GT(model_difference(shard("s", 0), shard("s", rank), is_expert), 1e-4);
  }
  const compat::TorchFile rank_file = compat::load_torch_file(shard("s", 2)),
                          shared = compat::load_torch_file(dir_ / "s/checkpoint_last-shared.pt");
  for (const auto& [name, view] : compat::model_tensors(*rank_file.tree.root, "rank"))
    EXPECT_TRUE(is_expert(name)) << name;
  for (const auto& [name, view] : compat::model_tensors(*shared.tree.root, "shared"))
    EXPECT_TRUE(is_shared(name)) << name;
  // Two layers of 16 parameters, two embeddings and a final norm are 36. Four of each layer belong
  // to an expert.
  const auto entries = [](const compat::TorchFile& file) {
    return file.tree.root->find("last_optimizer_state")
        ->find("state")
        ->get_if<compat::PickleDict>()
        ->items.size();
  };
  EXPECT_EQ(entries(rank_file), 8U);
  EXPECT_EQ(entries(shared), 28U);
  EXPECT_EQ(compat::Checkpoint::open(shard("s", 2))
                .find_entry("last_optimizer_state")
                ->find("state")
                ->get_if<compat::PickleDict>()
                ->items.size(),
            36U);
}

TEST_F(Demix, RanksOfAGroupHaveOneExpert) {
  run(command(4, dir_ / "s",
              joined(flags("0,1 2,3", 3),
                     {"--train-domains", "fortunes,perl", "--eval-domains", "fortunes,perl"})));
  EXPECT_EQ(model_difference(shard("s", 0), shard("s", 1)), 0);
  EXPECT_EQ(model_difference(shard("s", 2), shard("s", 3)), 0);
  EXPECT_GT(model_difference(shard("s", 1), shard("s", 2), is_expert), 1e-4);
}

TEST_F(Demix, IsResumedExactlyFromItsShards) {
  const Args two{"--train-domains", "fortunes,perl", "--eval-domains", "fortunes,perl"};
  // In fp16 the checkpoint must also restore the loss scale, which doubles every other update, and
  // the fp32 weights.
  for (const Args& precision : {Args{}, Args{"--fp16", "--fp16-scale-window", "2"}}) {
    const std::string kind = precision.empty() ? "fp32" : "fp16";
    run(command(2, dir_ / (kind + "whole"), joined(flags("0 1", 8), joined(two, precision))));
    for (const int updates : {4, 8})
      run(command(2, dir_ / (kind + "parts"),
                  joined(flags("0 1", updates), joined(two, precision))));
    for (const int rank : {0, 1})
      EXPECT_EQ(model_difference(shard(kind + "whole", rank), shard(kind + "parts", rank)), 0)
          << kind;
  }
}

TEST_F(Demix, ShardsAreEvaluatedAndFilesOfTwoMomentsRefused) {
  const Args two{"--train-domains", "fortunes,perl", "--eval-domains", "fortunes,perl"};
  run(command(2, dir_ / "s",
              joined(flags("0 1", 2), joined(two, {"--save-interval-updates", "1"}))));
  EXPECT_NE(evaluated(shard("s", 0), dir_ / "0.json"), evaluated(shard("s", 1), dir_ / "1.json"));

  std::filesystem::copy_file(dir_ / "s/checkpoint_1_1-rank-1.pt", shard("s", 1),
                             std::filesystem::copy_options::overwrite_existing);
  Process resumed("btm", command(2, dir_ / "s", joined(flags("0 1", 4), two)));
  EXPECT_EQ(resumed.wait(), 1);
  EXPECT_NE(resumed.err().find("is from update 1, "), std::string::npos) << resumed.err();
  EXPECT_NE(resumed.err().find("of update 2: these files were saved at different updates; give "
                               "--restore-file an older checkpoint"),
            std::string::npos)
      << resumed.err();

  // As versions before checkpoint.commit left them.
  btm_test::write_file(dir_ / "s/checkpoint_last-rank-1.pt.new", "");
  Process torn("btm", command(2, dir_ / "s", joined(flags("0 1", 4), two)));
  EXPECT_EQ(torn.wait(), 1);
  EXPECT_NE(torn.err().find("these files were saved at different updates; an earlier version was "
                            "interrupted while it "
                            "replaced them. Rename checkpoint_last-rank-1.pt.new to the same "
                            "names without .new to finish that, or give --restore-file"),
            std::string::npos)
      << torn.err();
}

TEST_F(Demix, SaysOnceWhatIsWrongWithItsFlags) {
  Process groups("btm", command(2, dir_ / "s", flags("0 0", 1)));
  EXPECT_EQ(groups.wait(), 2);
  EXPECT_EQ(groups.err(), "btm train: error: --data-parallel-groups '0 0' names rank 0 twice\n");
  Process untied(
      "btm", command(1, dir_ / "s", joined(kMultidomain, {"--untie-parameters", "feedforward"})));
  EXPECT_EQ(untied.wait(), 2);
  EXPECT_NE(untied.err().find("need --desynchronize"), std::string::npos);
}

TEST(TrainRanks, AKilledRankEndsTheRunWithOneLine) {
  TempDir dir;
  Process process("btm", command(3, dir / "s",
                                 joined(kMultidomain,
                                        {"--unbalanced", "--max-update", "100000", "--no-save"})));
  process.wait_for_output("\"num_updates\": \"3\"");
  // Of the launcher's children the second is rank 1.
  std::ifstream children("/proc/" + std::to_string(process.pid()) + "/task/" +
                         std::to_string(process.pid()) + "/children");
  pid_t first = 0, second = 0;
  children >> first >> second;
  ASSERT_GT(second, 0);
  ::kill(second, SIGKILL);
  EXPECT_EQ(process.wait(), 128 + SIGKILL);
  EXPECT_EQ(process.err(),
            "btm train: error: rank 1 of 3 was killed by signal 9 (Killed); the other ranks were "
            "ended\n");
}

/// Two ranks that are started separately, each with its own flags.
std::vector<std::unique_ptr<Process>> two_ranks(const std::filesystem::path& save_dir,
                                                const std::string& data, const Args& first,
                                                const Args& second) {
  std::vector<std::unique_ptr<Process>> ranks;
  for (const int rank : {0, 1}) {
    Args args = btm_test::train_command(
        rank == 0 ? "fortunes" : data, save_dir,
        joined({"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256",
                "--total-num-update", "200", "--disable-validation", "--max-update", "3", "--cpu"},
               rank == 0 ? first : second));
    ranks.push_back(std::make_unique<Process>(
        "btm", args,
        std::map<std::string, std::string>{{"MASTER_ADDR", "127.0.0.1"},
                                           {"MASTER_PORT", btm_test::own_port(9)},
                                           {"WORLD_SIZE", "2"},
                                           {"RANK", std::to_string(rank)},
                                           {"OMP_NUM_THREADS", "1"}}));
  }
  return ranks;
}

TEST(TrainRanks, DoNotTrainWhenTheyDiffer) {
  TempDir dir;
  Process seed("btm",
               btm_test::train_command(
                   "fortunes", dir / "seed",
                   {"--arch", "transformer_lm_gpt3_small", "--decoder-ffn-embed-dim", "256",
                    "--total-num-update", "200", "--disable-validation", "--max-update", "1"}));
  ASSERT_EQ(seed.wait(), 0) << seed.err();
  const std::string start = (dir / "seed/checkpoint_last.pt").string();
  struct Case {
    std::string data;
    Args first, second;
    std::string message;
  };
  for (const Case& test : std::vector<Case>{
           {"fortunes", {}, {"--lr", "4e-3"}, "--lr is [0.002] on rank 0 and [0.004] on rank 1"},
           {"fortunes",
            {},
            {"--decoder-embed-dim", "128"},
            "--decoder-embed-dim is 64 on rank 0 and 128 on rank 1"},
           {"fortunes",
            {},
            {"--bucket-cap-mb", "1"},
            "--bucket-cap-mb is 25 on rank 0 and 1 on rank 1"},
           {"perl", {}, {}, "the data of --train-subset is "},
           {"fortunes",
            {"--restore-file", start},
            {},
            "the checkpoint to start from is 1 updates, epoch 1, batch 1 on rank 0 and none on "
            "rank 1"},
           {"fortunes",
            {},
            {"--finetune-from-model", start},
            "the checkpoint to start from is none on rank 0 and 0 updates, epoch 1, batch 0 on "
            "rank 1"}}) {
    const auto begin = std::chrono::steady_clock::now();
    for (const auto& rank : two_ranks(dir / "s", test.data, test.first, test.second)) {
      EXPECT_EQ(rank->wait(), 2) << rank->out() << rank->err();
      EXPECT_TRUE(rank->err().starts_with("btm train: error: the ranks differ: " + test.message))
          << rank->err();
      EXPECT_EQ(std::ranges::count(rank->err(), '\n'), 1) << rank->err();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  }
}

}  // namespace
