// Which checkpoint files a run writes and keeps, and the thread that writes them.
#pragma once

#include <atomic>
#include <cmath>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"
#include "compat/io/file_lock.h"
#include "compat/io/file_set.h"
#include "compat/torch/pickle_value.h"

namespace btm {

/// When a checkpoint is made.
struct SavePoint {
  std::int64_t epoch = 1, updates = 0;
  bool end_of_epoch = false;
  bool interrupted =
      false;  ///< By a signal: checkpoint_last is wanted in any case, and it alone unless `due`.
  std::optional<double> val_loss;
  bool due = false;  ///< Interrupted where a checkpoint was due. The validation, and with it the
                     ///< best ones, are left to the next run.
};

class CheckpointManager {
 public:
  explicit CheckpointManager(const CheckpointOptions& options) : options_(options) {}
  ~CheckpointManager();
  CheckpointManager(const CheckpointManager&) = delete;
  CheckpointManager& operator=(const CheckpointManager&) = delete;

  /// The best finite validation metric so far, as fairseq's save_checkpoint.best.
  std::optional<double> best() const noexcept { return best_; }
  void set_best(std::optional<double> best) noexcept {
    if (best && std::isfinite(*best)) best_ = best;  // a checkpoint of fairseq's may hold NaN
  }
  /// To be told before file_names().
  void note(std::optional<double> val_loss);

  /// The names of the files that `point` calls for, in fairseq's order; none with --no-save.
  std::vector<std::string> file_names(const SavePoint& point) const;

  /// A file of a checkpoint that has several: DeMIX's "-rank-3" and "-shared".
  struct Part {
    std::string suffix;  ///< in place of --checkpoint-suffix
    compat::PickleTree tree;
  };
  /// The files that these ranks save at one moment take their places together, by the hand of their
  /// first one, so that a crash does not leave files of two moments side by side. The writing
  /// threads use `ranks`, which must be theirs alone.
  void commit_together(std::unique_ptr<Communicator> ranks) { ranks_ = std::move(ranks); }

  /// Writes `tree` under those names and removes what --keep-... no longer keeps, in the background
  /// and as one FileSet. Waits for the checkpoint before it. Throws what went wrong there: IoError
  /// for a full disk, with all earlier files as they were.
  void save(compat::PickleTree tree, const SavePoint& point) {
    save({Part{options_.checkpoint_suffix, std::move(tree)}}, point);
  }
  void save(std::vector<Part> parts, const SavePoint& point);
  /// Waits for the checkpoint that is being written.
  void wait();
  /// Without waiting: what was written since the last call, for the log; "" when nothing was.
  /// Throws as save().
  std::string poll();

 private:
  void write(const std::vector<Part>& parts, const std::vector<std::string>& names,
             const SavePoint& point);
  void commit(const compat::FileSet& own);
  std::vector<std::string> outdated(const SavePoint& point, const std::string& suffix,
                                    const std::vector<std::string>& new_names) const;

  CheckpointOptions options_;
  std::optional<double> best_;
  std::unique_ptr<Communicator> ranks_ = single_process();
  std::thread thread_;
  std::atomic<bool> written_ = false;
  std::exception_ptr failure_;  ///< This and the message are read after the thread was joined.
  std::string message_;
};

/// The file that a run leaves its newest checkpoint in, and goes on from: checkpoint_last with
/// --checkpoint-suffix.
std::filesystem::path last_checkpoint(const CheckpointOptions& options);

/// The checkpoint a run starts from: --restore-file (with --checkpoint-suffix, or without where
/// that is not there), or the save folder's checkpoint_last, or --finetune-from-model, with which
/// the reset flags are set. Empty when there is none. IoError for a --finetune-from-model that is
/// not there.
std::filesystem::path starting_checkpoint(CheckpointOptions& options);

/// Keeps other trainings out of a --save-dir. Waits some seconds for one that is ending. IoError
/// when another goes on there; nothing, with the reason given to `warn`, on a file system without
/// locks.
std::optional<compat::FileLock> lock_save_dir(const std::filesystem::path& folder,
                                              const std::function<void(const std::string&)>& warn);

/// At the start of a run, under its lock: finishes the save that the process before it died in, or
/// undoes it, and removes what is left of files that were being written.
void recover_checkpoints(const std::filesystem::path& folder);

}  // namespace btm
