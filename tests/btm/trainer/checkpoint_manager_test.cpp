#include "btm/trainer/checkpoint_manager.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <span>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using Names = std::vector<std::string>;

/// A checkpoint of one float.
compat::PickleTree tiny(float value, std::size_t count = 1) {
  compat::PickleTree tree;
  tree.arena = std::make_shared<compat::PickleArena>();
  const std::vector<float> values(count, value);
  compat::PickleDict model, root;
  model.ordered = true;
  model.items.emplace_back(
      tree.arena->string("weight"),
      tree.arena->tensor(compat::TensorView::contiguous(
          compat::Storage::copy_of(compat::DType::kFloat32, std::as_bytes(std::span(values))),
          {static_cast<std::int64_t>(count)})));
  root.items.emplace_back(tree.arena->string("cfg"), tree.arena->make(compat::PickleDict{}));
  root.items.emplace_back(tree.arena->string("model"), tree.arena->make(std::move(model)));
  tree.root = tree.arena->make(std::move(root));
  return tree;
}

float value_in(const std::filesystem::path& path) {
  std::vector<std::byte> scratch;
  const auto checkpoint = compat::Checkpoint::open(path);
  float value = 0;
  std::memcpy(&value, checkpoint.find("weight")->contiguous_bytes(scratch).data(), sizeof(value));
  return value;
}

Names files_in(const std::filesystem::path& folder) {
  Names names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST(CheckpointManager, NamesFilesAsFairseq) {
  CheckpointOptions options;
  options.save_interval_updates = 20;
  CheckpointManager manager(options);
  EXPECT_EQ(manager.file_names({1, 20, false, false, {}}),
            (Names{"checkpoint_1_20.pt", "checkpoint_last.pt"}));
  EXPECT_EQ(manager.file_names({3, 27, true, false, {}}),
            (Names{"checkpoint3.pt", "checkpoint_last.pt"}));
  EXPECT_EQ(manager.file_names({1, 27, false, true, {}}), (Names{"checkpoint_last.pt"}));
  EXPECT_EQ(manager.file_names({1, 40, false, true, {}, true}),
            (Names{"checkpoint_1_40.pt", "checkpoint_last.pt"}));
  manager.note(5.0);
  EXPECT_EQ(manager.file_names({1, 40, false, false, 5.0}),
            (Names{"checkpoint_1_40.pt", "checkpoint_best.pt", "checkpoint_last.pt"}));
  manager.note(6.0);
  EXPECT_EQ(*manager.best(), 5.0);
  EXPECT_EQ(manager.file_names({1, 41, false, false, 6.0}), (Names{"checkpoint_last.pt"}));
}

TEST(CheckpointManager, NaNIsNeverTheBest) {
  CheckpointOptions options;
  options.keep_best_checkpoints = 2;
  CheckpointManager manager(options);
  const auto names = [&](double loss) { return manager.file_names({1, 7, false, false, loss}); };
  for (const double none : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    EXPECT_EQ(names(none), (Names{"checkpoint_last.pt"}));
    manager.note(none);
    manager.set_best(none);
    EXPECT_EQ(manager.best(), std::nullopt);
  }
  EXPECT_EQ(names(5),
            (Names{"checkpoint_best.pt", "checkpoint.best_loss_5.0001.pt", "checkpoint_last.pt"}));
  manager.note(5.0);
  manager.note(NAN);
  EXPECT_EQ(manager.best(), 5.0);
  EXPECT_EQ(names(NAN), (Names{"checkpoint_last.pt"}));
  EXPECT_EQ(names(4).front(), "checkpoint_best.pt");
}

TEST(CheckpointManager, TheFlagsLeaveOutNames) {
  CheckpointOptions options;
  options.no_epoch_checkpoints = options.no_last_checkpoints = true;
  options.maximize_best_checkpoint_metric = true;
  options.checkpoint_suffix = "-x";
  CheckpointManager manager(options);
  manager.note(1.0);
  manager.note(2.0);
  EXPECT_EQ(*manager.best(), 2.0);
  EXPECT_EQ(manager.file_names({1, 5, true, false, 2.0}), (Names{"checkpoint_best-x.pt"}));
  EXPECT_TRUE(manager.file_names({1, 5, true, false, {}}).empty());
  options.no_save = true;
  EXPECT_TRUE(CheckpointManager(options).file_names({1, 5, true, false, 2.0}).empty());
}

TEST(CheckpointManager, WritesAndKeepsTheNewest) {
  const TempDir dir;
  CheckpointOptions options;
  options.save_dir = dir.path().string();
  options.save_interval_updates = 10;
  options.keep_interval_updates = 2;
  CheckpointManager manager(options);
  for (std::int64_t updates = 10; updates <= 50; updates += 10)
    manager.save(tiny(static_cast<float>(updates)), {1, updates, false, false, {}});
  manager.wait();
  EXPECT_EQ(files_in(dir.path()),
            (Names{"checkpoint_1_40.pt", "checkpoint_1_50.pt", "checkpoint_last.pt"}));
  EXPECT_EQ(value_in(dir / "checkpoint_last.pt"), 50);
  EXPECT_NE(manager.poll().find("checkpoint_1_50.pt (epoch 1 @ 50 updates, score None)"),
            std::string::npos);
}

TEST(CheckpointManager, KeepsEveryNthTheLastEpochsAndTheBest) {
  const TempDir dir;
  CheckpointOptions options;
  options.save_dir = dir.path().string();
  options.save_interval_updates = 10;
  options.keep_interval_updates = 1;
  options.keep_interval_updates_pattern = 20;
  options.keep_last_epochs = 1;
  options.keep_best_checkpoints = 2;
  options.no_last_checkpoints = true;
  CheckpointManager manager(options);
  for (std::int64_t updates = 10; updates <= 50; updates += 10)
    manager.save(tiny(1), {1, updates, false, false, {}});
  manager.wait();
  for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
    const double loss = 5.0 - static_cast<double>(epoch);
    manager.note(loss);
    manager.save(tiny(1), {epoch, 60 + epoch, true, false, loss});
    manager.wait();
  }
  EXPECT_EQ(files_in(dir.path()),
            (Names{"checkpoint.best_loss_2.0001.pt", "checkpoint.best_loss_3.0000.pt",
                   "checkpoint3.pt", "checkpoint_1_20.pt", "checkpoint_1_40.pt",
                   "checkpoint_1_50.pt", "checkpoint_best.pt"}));
}

TEST(CheckpointManager, AFullDiskLeavesTheOldCheckpointAndIsReported) {
  const TempDir dir;
  CheckpointOptions options;
  options.save_dir = dir.path().string();
  CheckpointManager manager(options);
  manager.save(tiny(1), {1, 5, false, true, {}});
  manager.wait();
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 16, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  manager.save(tiny(2, 1 << 20), {1, 6, false, true, {}});
  expect_error<compat::IoError>([&] { manager.wait(); }, "checkpoint_last.pt.staged: cannot write");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(files_in(dir.path()), (Names{"checkpoint_last.pt"}));
  EXPECT_EQ(value_in(dir / "checkpoint_last.pt"), 1);
}

TEST(CheckpointManager, AnInterruptedSaveIsFinishedOrUndoneAtTheStart) {
  const TempDir dir;
  const std::string marker =
      "files to replace (+) and to remove (-)\n+checkpoint_last.pt\n-checkpoint_1_2.pt\n";
  for (const bool committed : {false, true}) {
    compat::save_checkpoint(dir / "checkpoint_last.pt", *tiny(1).root);
    compat::save_checkpoint(dir / "checkpoint_1_2.pt", *tiny(1).root);
    compat::save_checkpoint(dir / "checkpoint_last.pt.staged", *tiny(2).root);
    btm_test::write_file(dir / "checkpoint_last.pt.staged.tmp.999999999.1", "half of it");
    if (committed) btm_test::write_file(dir / "checkpoint.commit", marker);
    recover_checkpoints(dir.path());
    EXPECT_EQ(value_in(dir / "checkpoint_last.pt"), committed ? 2 : 1);
    EXPECT_EQ(files_in(dir.path()), committed ? Names{"checkpoint_last.pt"}
                                              : (Names{"checkpoint_1_2.pt", "checkpoint_last.pt"}));
  }
}

TEST(StartingCheckpoint, IsTheSaveFoldersLastOrTheOneNamed) {
  const TempDir dir;
  CheckpointOptions options;
  options.save_dir = dir.path().string();
  EXPECT_TRUE(starting_checkpoint(options).empty());
  compat::save_checkpoint(dir / "seed.pt", *tiny(1).root);
  options.finetune_from_model = (dir / "seed.pt").string();
  EXPECT_EQ(starting_checkpoint(options), dir / "seed.pt");
  EXPECT_TRUE(options.reset_optimizer && options.reset_dataloader && options.reset_meters &&
              options.reset_lr_scheduler);
  options = {};
  options.save_dir = dir.path().string();
  options.finetune_from_model = (dir / "seed.pt").string();
  compat::save_checkpoint(dir / "checkpoint_last.pt", *tiny(1).root);
  EXPECT_EQ(starting_checkpoint(options), dir / "checkpoint_last.pt")
      << "a run that has begun goes on";
  EXPECT_FALSE(options.reset_optimizer);
}

TEST(StartingCheckpoint, RefusesContradictionsAndMissingFiles) {
  CheckpointOptions options;
  options.finetune_from_model = "x.pt";
  options.reset_meters = true;
  expect_error<compat::UsageError>([&] { starting_checkpoint(options); }, "--reset-");
  options.reset_meters = false;
  options.restore_file = "y.pt";
  expect_error<compat::UsageError>([&] { starting_checkpoint(options); }, "exclude each other");
  options.finetune_from_model.clear();
  expect_error<compat::IoError>([&] { starting_checkpoint(options); }, "y.pt");
  options = {};
  options.finetune_from_model = "/nowhere/x.pt";
  options.save_dir = "/nowhere";
  expect_error<compat::IoError>([&] { starting_checkpoint(options); }, "/nowhere/x.pt");
}

}  // namespace
}  // namespace btm
