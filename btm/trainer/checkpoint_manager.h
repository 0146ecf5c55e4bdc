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
  bool interrupted = false;  ///< A signal ends the run: checkpoint_last is always written, the
                             ///< others only if `due`.
  std::optional<double> val_loss;
  bool due = false;  ///< Interrupted where a checkpoint was due. The next run validates and writes
                     ///< the best ones.
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
    if (best && std::isfinite(*best)) best_ = best;  // a checkpoint by fairseq may hold NaN
  }
  /// Call it before file_names().
  void note(std::optional<double> val_loss);

  /// The names of the files that `point` requires, in fairseq's order; none with --no-save.
  std::vector<std::string> file_names(const SavePoint& point) const;

  /// A file of a checkpoint that has several: DeMIX's "-rank-3" and "-shared".
  struct Part {
    std::string suffix;  ///< in place of --checkpoint-suffix
    compat::PickleTree tree;
  };
  /// The files that these ranks save at one moment become visible together, so that a crash never
  /// leaves files of two moments. The first rank renames them. The writing threads use `ranks`;
  /// nothing else may.
  void commit_together(std::unique_ptr<Communicator> ranks) { ranks_ = std::move(ranks); }

  /// Writes `tree` under those names in the background as one FileSet, and removes what --keep-...
  /// no longer keeps. Waits for the previous checkpoint first and throws its error, for example
  /// IoError for a full disk. All earlier files then stay as they were.
  void save(compat::PickleTree tree, const SavePoint& point) {
    save({Part{options_.checkpoint_suffix, std::move(tree)}}, point);
  }
  void save(std::vector<Part> parts, const SavePoint& point);
  /// Waits for the checkpoint that is being written.
  void wait();
  /// A line for the log on what was written since the last call; "" for nothing. Does not wait.
  /// Throws as save() does.
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
  std::exception_ptr failure_;  ///< This and the message are read only after the thread was joined.
  std::string message_;
};

/// The file of a run's newest checkpoint, from which it resumes: checkpoint_last with
/// --checkpoint-suffix.
std::filesystem::path last_checkpoint(const CheckpointOptions& options);

/// The checkpoint that a run starts from; empty when there is none. --restore-file (with
/// --checkpoint-suffix, or without it where that file is missing), or the save folder's
/// checkpoint_last, or --finetune-from-model, which sets the reset flags. IoError for a
/// --finetune-from-model that does not exist.
std::filesystem::path starting_checkpoint(CheckpointOptions& options);

/// Keeps other trainings out of a --save-dir. Waits some seconds for one that is ending. IoError
/// when another one is running there. Returns nothing, and tells `warn` why, on a file system
/// without locks.
std::optional<compat::FileLock> lock_save_dir(const std::filesystem::path& folder,
                                              const std::function<void(const std::string&)>& warn);

/// Call it at the start of a run, under its lock. Finishes or undoes the save during which an
/// earlier process died, and removes its partly written files.
void recover_checkpoints(const std::filesystem::path& folder);

}  // namespace btm
