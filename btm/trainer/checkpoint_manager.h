// Which checkpoint files a run writes and keeps, and the thread that writes them.
#pragma once

#include <atomic>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "btm/trainer/options.h"
#include "compat/pickle_value.h"

namespace btm {

/// When a checkpoint is made.
struct SavePoint {
  std::int64_t epoch = 1, updates = 0;
  bool end_of_epoch = false;
  bool interrupted = false;  ///< Only checkpoint_last is wanted.
  std::optional<double> val_loss;
};

class CheckpointManager {
 public:
  explicit CheckpointManager(const CheckpointOptions& options) : options_(options) {}
  ~CheckpointManager();
  CheckpointManager(const CheckpointManager&) = delete;
  CheckpointManager& operator=(const CheckpointManager&) = delete;

  /// The best validation metric so far, as fairseq's save_checkpoint.best.
  std::optional<double> best() const noexcept { return best_; }
  void set_best(std::optional<double> best) noexcept { best_ = best; }
  /// To be told before file_names().
  void note(std::optional<double> val_loss);

  /// The names of the files that `point` calls for, in fairseq's order; none with --no-save.
  std::vector<std::string> file_names(const SavePoint& point) const;

  /// A file of a checkpoint that has several: DeMIX's "-rank-3" and "-shared".
  struct Part {
    std::string suffix;  ///< in place of --checkpoint-suffix
    compat::PickleTree tree;
  };
  /// Calls `all_written` on the writing thread when a checkpoint's files are written but not yet in place: it returns when
  /// other ranks are as far, so that a crash does not leave files of two moments side by side.
  void commit_together(std::function<void()> all_written) { all_written_ = std::move(all_written); }

  /// Writes `tree` under those names and removes what --keep-... no longer keeps, in the background. Waits for the
  /// checkpoint before it. Throws what went wrong there: IoError for a full disk, with all earlier files as they were.
  void save(compat::PickleTree tree, const SavePoint& point) { save({Part{options_.checkpoint_suffix, std::move(tree)}}, point); }
  void save(std::vector<Part> parts, const SavePoint& point);
  /// Waits for the checkpoint that is being written.
  void wait();
  /// Without waiting: what was written since the last call, for the log; "" when nothing was. Throws as save().
  std::string poll();

 private:
  void write(const std::vector<Part>& parts, const std::vector<std::string>& names, const SavePoint& point);
  void remove_old(const SavePoint& point, const std::string& suffix) const;

  CheckpointOptions options_;
  std::optional<double> best_;
  std::function<void()> all_written_;
  std::thread thread_;
  std::atomic<bool> written_ = false;
  std::exception_ptr failure_;  ///< This and the message are read after the thread was joined.
  std::string message_;
};

/// The file that a run leaves its newest checkpoint in, and goes on from: checkpoint_last with --checkpoint-suffix.
std::filesystem::path last_checkpoint(const CheckpointOptions& options);

/// The checkpoint a run starts from: --restore-file (with --checkpoint-suffix, or without where that is not there), or the save folder's checkpoint_last, or --finetune-from-model, with
/// which the reset flags are set. Empty when there is none. IoError for a --finetune-from-model that is not there.
std::filesystem::path starting_checkpoint(CheckpointOptions& options);

/// Files of `folder` whose name is PREFIX, a number and SUFFIX, the largest number first.
std::vector<std::filesystem::path> numbered_files(const std::filesystem::path& folder, const std::string& pattern);

}  // namespace btm
