// The output of a run: fairseq's lines on standard output and in --log-file, TensorBoard event
// files, a record for wandb.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "btm/trainer/event_file.h"
#include "btm/trainer/meters.h"
#include "btm/trainer/options.h"
#include "compat/program/progress_bar.h"

namespace btm {

/// The name in the lines of `btm train`.
inline constexpr const char* kTrainName = "btm train";

class TrainLog {
 public:
  /// A run's log. With `quiet` (ranks other than 0) it writes nothing. The record for wandb is
  /// SAVE_DIR/wandb.jsonl: one line with project and run, then one line of numbers per log row, as
  /// wandb.log takes them.
  TrainLog(const CommonOptions& common, std::string save_dir, bool quiet);
  /// Creates the files in the save folder. Call it only when the training can start, so that a
  /// failing command leaves nothing there.
  void begin();

  /// "DATE TIME | INFO | NAME | MESSAGE".
  void info(const std::string& name, const std::string& message);
  void warn(const std::string& name, const std::string& message);

  /// One row of numbers during an epoch, after `done` of its `total` updates.
  void row(const std::string& tag, std::int64_t epoch, std::int64_t done, std::int64_t total,
           const LogRow& row, std::int64_t step);
  /// Whether row() shows anything at this update.
  bool due(std::int64_t num_updates) const noexcept { return num_updates % interval_ == 0; }
  /// Moves the bar without numbers; of `subset` in validation, otherwise "".
  void progress(std::int64_t epoch, const std::string& subset, std::int64_t done,
                std::int64_t total);
  /// The numbers of an epoch (tag "train") or of a validation subset.
  void summary(const std::string& tag, std::int64_t epoch, const LogRow& row, std::int64_t step);

 private:
  enum class Format : std::uint8_t { kJson, kSimple, kBar, kNone };
  void line(const char* level, const std::string& name, const std::string& message);
  void record(const std::string& tag, const LogRow& row, std::int64_t step);

  bool quiet_;
  Format format_;
  std::int64_t interval_;
  std::string save_dir_, wandb_project_, tensorboard_logdir_;
  std::map<std::string, std::unique_ptr<EventFile>> event_files_;
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> log_file_, wandb_;
  std::string bar_prefix_;
  std::unique_ptr<compat::ProgressBar> bar_;
  compat::ProgressBar::Stats bar_stats_;
};

}  // namespace btm
