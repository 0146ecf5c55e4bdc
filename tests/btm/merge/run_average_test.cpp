#include "btm/merge/run_average.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace {

using btm::RunCheckpoints;
using btm_test::golden;
using btm_test::TempDir;
using btm_test::write_tiny_checkpoint;
using compat::Checkpoint;
namespace fs = std::filesystem;

std::vector<std::byte> bytes_of(const compat::TensorView& view) {
  std::vector<std::byte> scratch;
  const auto bytes = view.contiguous_bytes(scratch);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> names_of(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.filename().string());
  return names;
}

using Names = std::vector<std::string>;

TEST(RunAverage, HasTheBitsOfFairseqsScriptInEveryDtype) {
  const TempDir dir;
  const fs::path folder = golden("average_run");
  const auto inputs = btm::last_checkpoints(folder, 3, RunCheckpoints::kUpdates, std::nullopt);
  btm::average_run({inputs, dir / "out.pt", 2});
  const Checkpoint ours = Checkpoint::open(dir / "out.pt");
  const Checkpoint theirs = Checkpoint::open(folder / "average.pt");
  ASSERT_EQ(ours.model().size(), theirs.model().size());
  for (std::size_t i = 0; i < ours.model().size(); ++i) {
    const auto& [name, view] = theirs.model()[i];
    EXPECT_EQ(ours.model()[i].first, name);
    EXPECT_EQ(ours.model()[i].second.dtype(), view.dtype()) << name;
    EXPECT_EQ(ours.model()[i].second.shape, view.shape) << name;
    EXPECT_EQ(bytes_of(ours.model()[i].second), bytes_of(view)) << name;
  }
}

TEST(RunAverage, KeepsTiesAndTheRestOfTheFirstInput) {
  const TempDir dir;
  const fs::path folder = golden("average_run");
  btm::average_run(
      {{folder / "checkpoint_1_40.pt", folder / "checkpoint_1_10.pt"}, dir / "out.pt"});
  const Checkpoint out = Checkpoint::open(dir / "out.pt");
  EXPECT_EQ(out.find("decoder.w")->storage, out.find("decoder.tied")->storage);
  const auto* const step = out.find_entry("last_optimizer_state")->find("step");
  EXPECT_EQ(*step->get_if<std::int64_t>(), 40);
}

TEST(RunAverage, TakesTheLastCheckpointsOfARun) {
  const TempDir dir;
  for (const char* name : {"checkpoint1.pt", "checkpoint2.pt", "checkpoint10.pt",
                           "checkpoint_2_9.pt", "checkpoint_1_100.pt", "checkpoint_3_20.pt",
                           "checkpoint_last.pt", "checkpoint_1_5.pt.tmp", "checkpoint_best.pt"})
    write_tiny_checkpoint(dir / name, {{"decoder.w", {1}}});
  const auto last = [&](std::int64_t count, RunCheckpoints kind,
                        std::optional<std::int64_t> bound) {
    return names_of(btm::last_checkpoints(dir.path(), count, kind, bound));
  };
  EXPECT_EQ(last(2, RunCheckpoints::kUpdates, {}),
            (Names{"checkpoint_1_100.pt", "checkpoint_3_20.pt"}));
  EXPECT_EQ(last(2, RunCheckpoints::kUpdates, 99),
            (Names{"checkpoint_3_20.pt", "checkpoint_2_9.pt"}));
  EXPECT_EQ(last(2, RunCheckpoints::kEpochs, {}), (Names{"checkpoint10.pt", "checkpoint2.pt"}));
  EXPECT_EQ(last(1, RunCheckpoints::kEpochs, 1), (Names{"checkpoint1.pt"}));
  btm_test::expect_error<compat::UsageError>([&] { last(2, RunCheckpoints::kEpochs, 1); },
                                             "holds 1 checkpoints of epochs (checkpointEPOCH.pt) "
                                             "up to 1, expected at least 2");
}

TEST(RunAverage, TakesTheBestByTheirNames) {
  const TempDir dir;
  for (const char* name : {"checkpoint.best_loss_3.21.pt", "checkpoint.best_loss_12.pt",
                           "checkpoint.best_loss_3.2.pt", "checkpoint_1_1.pt"})
    write_tiny_checkpoint(dir / name, {{"decoder.w", {1}}});
  EXPECT_EQ(names_of(btm::best_checkpoints({dir.path()}, 2)),
            (Names{"checkpoint.best_loss_3.2.pt", "checkpoint.best_loss_3.21.pt"}));
  EXPECT_EQ(names_of(btm::best_checkpoints({"b_2.pt", "a_10.pt", "c_2.pt"}, 5)),
            (Names{"b_2.pt", "c_2.pt", "a_10.pt"}));
  btm_test::expect_error<compat::UsageError>(
      [&] {
        btm::best_checkpoints({"b_2.pt", "checkpoint_best.pt"}, 1);
      },
      "checkpoint_best.pt: its name ends in no number");
}

TEST(RunAverage, RefusesWhatHasNoAverageAndLeavesNothing) {
  const TempDir dir;
  const auto file = [&](const char* name, std::vector<float> values) {
    write_tiny_checkpoint(dir / name, {{"decoder.w", std::move(values)}});
    return dir / name;
  };
  const fs::path plain = file("plain.pt", {1, 2}), nan = file("nan.pt", {1, NAN}),
                 longer = file("longer.pt", {1, 2, 3}), large = file("large.pt", {3e38F, 3e38F});
  const fs::path out = dir / "out.pt";
  const auto refuses = [&](std::vector<fs::path> inputs, std::string_view phrase) {
    btm_test::expect_error<compat::FormatError>([&] { btm::average_run({inputs, out}); }, phrase);
    EXPECT_FALSE(fs::exists(out));
  };
  refuses({plain, nan}, "nan.pt: 'decoder.w' holds nan at element 1");
  refuses({plain, longer}, "decoder.w is [3], expected [2]");
  refuses({large, large}, "out.pt: 'decoder.w' holds inf at element 0");
  btm_test::expect_error<compat::UsageError>(
      [&] {
        btm::average_run({{plain}, plain});
      },
      "is one of the models");
}

}  // namespace
