#include "btm/branch/branch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/io/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

using btm::branch_checkpoint;
using btm::BranchOptions;
using btm_test::golden;
using btm_test::read_file;
using compat::Checkpoint;
namespace fs = std::filesystem;

class Branch : public testing::Test {
 protected:
  /// A run with small but real checkpoints. Each holds its own update as a tensor.
  void add(std::string_view name, float content, std::string_view run = "seed") {
    fs::create_directories(dir_ / run);
    btm_test::write_tiny_checkpoint(dir_ / run / name, {{"decoder.w", {content}}});
  }
  BranchOptions options() { return {dir_.path(), "seed", dir_.path(), "branch", {}, {}, {}}; }
  /// The checkpoint that a branch at the update, or at the share, starts from.
  float branched(std::optional<std::int64_t> update, std::optional<double> share) {
    fs::remove_all(dir_ / "branch");
    BranchOptions request = options();
    request.update = update;
    request.share = share;
    const auto report = branch_checkpoint(request);
    EXPECT_EQ(report.target, dir_.path() / "branch" / "checkpoint_last.pt");
    float content = 0;
    std::memcpy(&content,
                Checkpoint::open(report.target).find("decoder.w")->storage->bytes().data(),
                sizeof content);
    return content;
  }
  btm_test::TempDir dir_;
};

TEST_F(Branch, TakesTheNearestUpdateAndTheEarlierOfTwo) {
  add("checkpoint_1_100.pt", 100);
  add("checkpoint_1_200.pt", 200);
  add("checkpoint_2_400.pt", 400);
  add("checkpoint_last.pt", -1);
  struct Row {
    std::int64_t asked;
    float taken;
  };
  for (const Row& row : {Row{100, 100}, Row{0, 100}, Row{150, 100}, Row{151, 200}, Row{300, 200},
                         Row{301, 400}, Row{9999, 400}, Row{-1, -1}})
    EXPECT_EQ(branched(row.asked, {}), row.taken) << row.asked;
}

TEST_F(Branch, TakesAShareOfTheLargestUpdateAndTheLaterOfTwoAboveOneHalf) {
  add("checkpoint_1_100.pt", 100);
  add("checkpoint_1_200.pt", 200);
  add("checkpoint_1_300.pt", 300);
  add("checkpoint_1_400.pt", 400);
  add("checkpoint_last.pt", -1);
  struct Row {
    double share;
    float taken;
  };
  for (const Row& row : {Row{0, 100}, Row{0.25, 100}, Row{0.375, 100}, Row{0.5, 200},
                         Row{0.625, 300}, Row{0.62, 200}, Row{1, 400},
                         Row{0.8774, 400}})  // int(350.96) = 350 is a tie, 351 would not be
    EXPECT_EQ(branched({}, row.share), row.taken) << row.share;
}

TEST_F(Branch, LooksPastFilesOfOtherNames) {
  add("checkpoint_1_100.pt", 100);
  for (const std::string_view name : {"a_b_c.txt", "checkpoint_1_x.pt", "checkpoint_best_2_3.pt",
                                      "checkpoint_1_99999999999999999999.pt",
                                      "checkpoint_1_90.pt.tmp.1.2", "checkpoint_1_101-rank-0.pt"})
    btm_test::write_file(dir_ / "seed" / name, "not a checkpoint");
  EXPECT_EQ(branched(100, {}), 100);
  EXPECT_EQ(branched({}, 1.0), 100);
}

TEST_F(Branch, CopiesADenseCheckpointByteForByte) {
  const auto report =
      branch_checkpoint({golden("checkpoints"), "seed", dir_.path(), "new/run", {}, 100, {}});
  EXPECT_EQ(report.source, golden("checkpoints/seed/checkpoint_1_100.pt"));
  EXPECT_FALSE(report.from_demix);
  EXPECT_EQ(read_file(dir_ / "new/run/checkpoint_last.pt"), read_file(report.source));
}

TEST_F(Branch, LeavesABranchThatIsThereAlone) {
  add("checkpoint_1_100.pt", 100);
  fs::create_directories(dir_ / "branch");
  btm_test::write_file(dir_ / "branch" / "checkpoint_last.pt", "trained on");
  BranchOptions request = options();
  request.update = 100;
  EXPECT_TRUE(branch_checkpoint(request).existed);
  fs::remove_all(dir_ / "seed");  // a run continues without the seed
  EXPECT_TRUE(branch_checkpoint(request).existed);
  EXPECT_EQ(read_file(dir_ / "branch" / "checkpoint_last.pt"), "trained on");
}

TEST_F(Branch, UsesTheOldNameWithoutANewOne) {
  add("checkpoint_last.pt", 7);
  const auto report = branch_checkpoint({dir_.path(), "seed", dir_ / "new", {}, {}, -1, {}});
  EXPECT_EQ(report.target, dir_ / "new" / "seed" / "checkpoint_last.pt");
}

TEST_F(Branch, MergesADemixExpertWithItsSharedHalf) {
  const auto report =
      branch_checkpoint({golden("checkpoints"), "demix", dir_.path(), "dense", {}, -1, "2"});
  EXPECT_TRUE(report.from_demix);
  EXPECT_EQ(report.source, golden("checkpoints/demix/checkpoint_last-rank-2.pt"));
  const Checkpoint dense = Checkpoint::open(report.target), pair = Checkpoint::open(report.source);
  ASSERT_EQ(dense.model().size(), pair.model().size());
  std::vector<std::byte> scratch, pair_scratch;
  for (std::size_t i = 0; i < dense.model().size(); ++i) {
    EXPECT_EQ(dense.model()[i].first, pair.model()[i].first);
    EXPECT_EQ(compat::sha256_hex(dense.model()[i].second.contiguous_bytes(scratch)),
              compat::sha256_hex(pair.model()[i].second.contiguous_bytes(pair_scratch)));
  }
}

TEST_F(Branch, MergesAForksShardWithItsOptimizerState) {
  const auto report = branch_checkpoint(
      {golden("checkpoints/demix_fork"), "sharded", dir_.path(), "dense", {}, -1, "0"});
  const Checkpoint dense = Checkpoint::open(report.target);
  const auto* optimizer = dense.find_entry("last_optimizer_state");
  ASSERT_NE(optimizer, nullptr);
  EXPECT_EQ(optimizer->find("loss_scale"), nullptr);
  const auto& state = optimizer->find("state")->get_if<compat::PickleDict>()->items;
  // One entry per parameter. `decoder.version` has none, and neither has the tied output
  // projection.
  std::size_t parameters = 0;
  for (const auto& [name, view] : dense.model())
    parameters += name != "decoder.version" && name != "decoder.output_projection.weight";
  EXPECT_EQ(state.size(), parameters);
  for (std::size_t i = 0; i < state.size(); ++i)
    EXPECT_EQ(*state[i].first->get_if<std::int64_t>(), static_cast<std::int64_t>(i));
}

TEST_F(Branch, FindsADemixExpertByItsDomain) {
  fs::create_directories(dir_ / "seed");
  const std::vector<btm_test::CfgEntry> cfg{
      {"task", "train_domains", "news,law,medicine"}};  // ranks are given by name
  for (const int rank : {0, 1, 2})
    btm_test::write_tiny_checkpoint(
        dir_ / "seed" / ("checkpoint_1_50-rank-" + std::to_string(rank) + ".pt"),
        {{"decoder.layers.0.fc1.weight", {static_cast<float>(rank)}}}, cfg);
  btm_test::write_tiny_checkpoint(dir_ / "seed" / "checkpoint_1_50-shared.pt", {{"decoder.w", {5}}},
                                  cfg);
  BranchOptions request = options();
  request.update = 50;
  request.domain_id = "news";
  EXPECT_EQ(branch_checkpoint(request).source, dir_ / "seed" / "checkpoint_1_50-rank-2.pt");
  request.new_subfolder = "other";
  request.domain_id = "sport";
  btm_test::expect_error<compat::UsageError>(
      [&] { branch_checkpoint(request); },
      "flag --domain-id: 'sport', expected a rank or one of the domains");
}

TEST_F(Branch, RefusesAModelThatDiverged) {
  fs::create_directories(dir_ / "seed");
  const fs::path source = dir_ / "seed" / "checkpoint_last.pt";
  btm_test::write_tiny_checkpoint(source, {{"decoder.embed_positions._float_tensor", {NAN}},
                                           {"decoder.a", {1, 2}},
                                           {"decoder.b", {1, 2, INFINITY}}});
  BranchOptions request = options();
  request.update = -1;
  btm_test::expect_error<compat::FormatError>(
      [&] { branch_checkpoint(request); },
      source.string() + ": 'decoder.b' holds inf at element 2");
  EXPECT_FALSE(fs::exists(dir_ / "branch"));
  btm_test::write_tiny_checkpoint(
      source, {{"decoder.embed_positions._float_tensor", {NAN}}, {"decoder.a", {1, 2}}});
  branch_checkpoint(request);
  EXPECT_TRUE(fs::exists(dir_ / "branch" / "checkpoint_last.pt"));
}

TEST_F(Branch, RefusesWhatLeadsNowhere) {
  const auto refused = [&]<class E>(E*, BranchOptions request, std::string_view phrase) {
    btm_test::expect_error<E>([&] { branch_checkpoint(request); }, phrase);
    EXPECT_FALSE(fs::exists(dir_ / "branch" / "checkpoint_last.pt"));
  };
  compat::UsageError* usage = nullptr;
  compat::IoError* io = nullptr;
  compat::FormatError* format = nullptr;
  BranchOptions request = options();
  refused(usage, request, "exactly one of --phase-one-ratio and --phase-one-update-num");
  request.share = 0.5;
  request.update = 5;
  refused(usage, request, "exactly one of");
  request.update.reset();
  refused(io, request, "is not a folder");
  fs::create_directories(dir_ / "seed");
  refused(io, request, "holds no checkpoint to branch from");
  for (const double share : {-0.1, 1.1, static_cast<double>(NAN)}) {
    request.share = share;
    refused(usage, request, "expected 0 to 1");
  }
  request.share.reset();
  request.update = -2;
  refused(usage, request, "expected -1 or an update");
  request.update = -1;
  refused(io, request, "seed: is an empty folder, expected a checkpoint, a folder with");
  add("checkpoint_1_50.pt", 50);
  refused(
      io, request,
      "seed: holds no checkpoint_last.pt, only checkpoints of updates: --phase-one-update-num N");
  btm_test::write_file(dir_ / "seed" / "checkpoint_last.pt", "PK not really");
  refused(format, request, "checkpoint_last.pt");
  BranchOptions demix{golden("checkpoints"), "demix", dir_.path(), "branch", {}, -1, {}};
  refused(usage, demix, "holds DeMIX experts: which of them?");
  demix.domain_id = "9";
  refused(io, demix, "checkpoint_last-rank-9.pt: cannot open");
}

}  // namespace
