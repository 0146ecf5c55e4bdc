#include "btm/trainer/checkpoint_manager.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <thread>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/atomic_file.h"
#include "compat/io/temporaries.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(".^$|()[]{}*+?\\/-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

constexpr const char* kMarker = "checkpoint.commit";
constexpr auto kTimeToEnd = std::chrono::seconds(5);  // for the ranks of a run that was killed

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  return names;
}

/// Staged files. Removed when writing one of them fails or a signal ends the process.
class StagedFiles {
 public:
  ~StagedFiles() {
    std::error_code ignored;
    for (const fs::path& path : paths_) fs::remove(path, ignored);
  }
  void add(const fs::path& path) {
    paths_.push_back(path);
    notes_.push_back(std::make_unique<compat::TemporaryNote>(path));
  }
  /// All are written. From here on the file set owns them.
  void hand_over() {
    notes_.clear();
    paths_.clear();
  }

 private:
  std::vector<fs::path> paths_;
  std::vector<std::unique_ptr<compat::TemporaryNote>> notes_;
};

/// Whether process `pid` runs. (One that has ended stays in /proc until its parent asks for its
/// status.)
bool is_running(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string stat;
  if (!std::getline(file, stat)) return false;
  const std::size_t end_of_name = stat.rfind(") ");
  return end_of_name == std::string::npos || end_of_name + 2 >= stat.size() ||
         (stat[end_of_name + 2] != 'Z' && stat[end_of_name + 2] != 'X');
}

/// Whether the process that wrote the temporary NAME.tmp.PID.N is gone. Waits until `deadline`,
/// because ranks take a moment to end when their launcher is killed.
bool is_abandoned(const fs::path& file, const std::string& pid,
                  std::chrono::steady_clock::time_point deadline) {
  constexpr auto kLongAgo =
      std::chrono::minutes(1);  // process ids return, in a new container even the same ones
  if (std::stoll(pid) == ::getpid()) return true;
  while (is_running(pid)) {
    std::error_code error;
    const auto written = fs::last_write_time(file, error);
    if (error || fs::file_time_type::clock::now() - written > kLongAgo) return !error;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

double number_in(const std::string& name, const std::regex& pattern) {
  std::smatch match;
  return std::regex_match(name, match, pattern) ? std::strtod(match[1].str().c_str(), nullptr) : 0;
}

/// The `names` that match the pattern, whose first group is a number, in descending order of it.
std::vector<std::string> numbered(const std::vector<std::string>& names,
                                  const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::pair<double, std::string>> found;
  for (const std::string& name : names)
    if (std::regex_match(name, regex)) found.emplace_back(number_in(name, regex), name);
  std::ranges::stable_sort(found, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> sorted;
  for (auto& [number, name] : found) sorted.push_back(std::move(name));
  return sorted;
}

}  // namespace

CheckpointManager::~CheckpointManager() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointManager::note(std::optional<double> val_loss) {
  if (!val_loss || !std::isfinite(*val_loss)) return;
  const double before = best_.value_or(*val_loss);
  best_ = options_.maximize_best_checkpoint_metric ? std::max(before, *val_loss)
                                                   : std::min(before, *val_loss);
}

std::vector<std::string> CheckpointManager::file_names(const SavePoint& point) const {
  const CheckpointOptions& o = options_;
  const bool judged = point.val_loss && std::isfinite(*point.val_loss);  // NaN is never the best
  if (o.no_save) return {};
  const std::string end = o.checkpoint_suffix + ".pt";
  const std::string last = last_checkpoint(o).filename().string();
  if (point.interrupted && !point.due) return {last};
  const auto better = [&](double a, double b) {
    return o.maximize_best_checkpoint_metric ? a >= b : a <= b;
  };
  std::vector<std::string> names;
  if (point.end_of_epoch && !o.no_epoch_checkpoints && point.epoch % o.save_interval == 0)
    names.push_back(compat::concat("checkpoint", point.epoch, end));
  if (!point.end_of_epoch && o.save_interval_updates > 0 &&
      point.updates % o.save_interval_updates == 0)
    names.push_back(compat::concat("checkpoint_", point.epoch, '_', point.updates, end));
  if (judged && (!best_ || better(*point.val_loss, *best_)))
    names.push_back("checkpoint_best" + end);
  if (judged && o.keep_best_checkpoints > 0) {
    const std::string prefix = "checkpoint.best_" + o.best_checkpoint_metric + "_";
    const std::string pattern = escaped(prefix) + R"((\d+\.?\d*))" + escaped(end);
    const std::vector<std::string> files = numbered(names_in(o.save_dir), pattern);
    std::optional<double> worst = best_;
    if (!files.empty())
      worst = number_in(o.maximize_best_checkpoint_metric ? files.back() : files.front(),
                        std::regex(pattern));
    // One more digit keeps equal values apart.
    if (!worst || better(*point.val_loss, *worst))
      names.push_back(compat::concat(prefix, compat::decimal(*point.val_loss, 3),
                                     point.updates % o.keep_best_checkpoints, end));
  }
  if (!o.no_last_checkpoints || point.interrupted) names.push_back(last);
  return names;
}

void CheckpointManager::save(std::vector<Part> parts, const SavePoint& point) {
  wait();
  std::vector<std::string> names = file_names(point);
  if (names.empty()) return;
  written_ = false;
  thread_ = std::thread([this, parts = std::move(parts), names = std::move(names), point] {
    try {
      write(parts, names, point);
    } catch (...) {
      failure_ = std::current_exception();
    }
    written_ = true;
  });
}

void CheckpointManager::write(const std::vector<Part>& parts, const std::vector<std::string>& names,
                              const SavePoint& point) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path folder = options_.save_dir;
  StagedFiles staged;
  compat::FileSet set;
  for (const Part& part : parts) {
    fs::path original;
    std::vector<std::string> own;
    for (const std::string& name : names) {
      own.push_back(name.substr(0, name.size() - options_.checkpoint_suffix.size() - 3) +
                    part.suffix + ".pt");
      const fs::path target = folder / compat::staged_name(own.back());
      staged.add(target);
      // Copies, not links: overwriting one in place must not damage the other.
      if (original.empty())
        compat::save_checkpoint(target, *part.tree.root);
      else
        compat::copy_file_atomically(original, target);
      if (original.empty()) original = target;
    }
    if (!point.interrupted || point.due)
      std::ranges::move(outdated(point, part.suffix, own), std::back_inserter(set.removed));
    std::ranges::move(own, std::back_inserter(set.replaced));
  }
  staged.hand_over();
  commit(set);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  message_ = compat::concat("Saved checkpoint ", (folder / names.front()).string(), " (epoch ",
                            point.epoch, " @ ", point.updates, " updates, score ",
                            point.val_loss ? compat::decimal(*point.val_loss, 3) : "None",
                            ") (writing took ", compat::decimal(seconds, 3),
                            " seconds in the background)");
}

/// Commits the sets of all ranks as one.
void CheckpointManager::commit(const compat::FileSet& own) {
  const std::vector<std::string> sets = ranks_->all_gather(compat::text_of(own));
  if (ranks_->rank() == 0) {
    const fs::path marker = fs::path(options_.save_dir) / kMarker;
    compat::FileSet all;
    for (const std::string& text : sets) {
      compat::FileSet one = compat::file_set_of(text, marker);
      std::ranges::move(one.replaced, std::back_inserter(all.replaced));
      std::ranges::move(one.removed, std::back_inserter(all.removed));
    }
    for (const std::string& name : all.replaced)
      if (const fs::path file = fs::path(options_.save_dir) / compat::staged_name(name);
          !fs::exists(file))
        throw compat::IoError(file.string(),
                              "does not exist, expected all ranks to write to one --save-dir");
    compat::commit_file_set(marker, all);
  }
  ranks_->barrier();  // until then the names of the staged files are taken
}

/// The files that the --keep-... flags no longer keep once files of these names exist.
std::vector<std::string> CheckpointManager::outdated(
    const SavePoint& point, const std::string& suffix,
    const std::vector<std::string>& new_names) const {
  const CheckpointOptions& o = options_;
  const std::string end = escaped(suffix + ".pt");
  std::vector<std::string> there = names_in(o.save_dir), old;
  for (const std::string& name : new_names)
    if (std::ranges::find(there, name) == there.end()) there.push_back(name);
  const auto drop_beyond = [&](std::vector<std::string> names, std::int64_t kept) {
    for (auto i = static_cast<std::size_t>(kept); i < names.size(); ++i)
      old.push_back(std::move(names[i]));
  };
  if (!point.end_of_epoch && o.keep_interval_updates > 0) {
    const std::string pattern = R"(checkpoint_\d+_(\d+))" + end;
    std::vector<std::string> names = numbered(there, pattern);
    if (o.keep_interval_updates_pattern > 0)  // keeps every n-th for good
      std::erase_if(names, [&](const std::string& name) {
        return static_cast<std::int64_t>(number_in(name, std::regex(pattern))) %
                   o.keep_interval_updates_pattern ==
               0;
      });
    drop_beyond(std::move(names), o.keep_interval_updates);
  }
  if (o.keep_last_epochs > 0)
    drop_beyond(numbered(there, R"(checkpoint(\d+))" + end), o.keep_last_epochs);
  if (o.keep_best_checkpoints > 0) {
    std::vector<std::string> names =
        numbered(there, escaped("checkpoint.best_" + o.best_checkpoint_metric + "_") +
                            R"((\d+\.?\d*))" + end);
    if (!o.maximize_best_checkpoint_metric) std::ranges::reverse(names);
    drop_beyond(std::move(names), o.keep_best_checkpoints);
  }
  return old;
}

void CheckpointManager::wait() {
  if (thread_.joinable()) thread_.join();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

std::string CheckpointManager::poll() {
  if (thread_.joinable() && !written_) return {};
  wait();
  return std::exchange(message_, {});
}

fs::path last_checkpoint(const CheckpointOptions& options) {
  return fs::path(options.save_dir) / ("checkpoint_last" + options.checkpoint_suffix + ".pt");
}

std::optional<compat::FileLock> lock_save_dir(const fs::path& folder,
                                              const std::function<void(const std::string&)>& warn) {
  try {
    const auto start = std::chrono::steady_clock::now();
    do {
      if (auto lock = compat::FileLock::try_now(folder / kTrainLock)) return lock;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    } while (std::chrono::steady_clock::now() - start < kTimeToEnd);
  } catch (const compat::IoError& error) {
    warn(std::string(error.what()) + " (a second training in this folder would go unnoticed)");
    return std::nullopt;
  }
  throw compat::IoError(folder.string(), std::string("another training writes there (it holds ") +
                                             kTrainLock + "), expected a --save-dir of its own");
}

void recover_checkpoints(const fs::path& folder) {
  compat::finish_file_set(folder / kMarker);
  static const std::regex kLeft(R"(checkpoint.*(\.staged|\.tmp\.([0-9]{1,9})\.\d+))");
  const auto deadline = std::chrono::steady_clock::now() + kTimeToEnd;
  // Staged files come last: a process that ends meanwhile may turn its temporary into one.
  for (const bool staged : {false, true})
    for (const std::string& name : names_in(folder)) {
      std::smatch match;
      if (!std::regex_match(name, match, kLeft) || staged == match[2].matched) continue;
      std::error_code ignored;
      if (staged || is_abandoned(folder / name, match[2], deadline))
        fs::remove(folder / name, ignored);
    }
}

fs::path starting_checkpoint(CheckpointOptions& options) {
  const bool restore_default = options.restore_file == "checkpoint_last.pt";
  if (!options.finetune_from_model.empty()) {
    if (options.reset_optimizer || options.reset_lr_scheduler || options.reset_meters ||
        options.reset_dataloader)
      throw compat::UsageError(
          "--finetune-from-model resets everything itself and excludes the --reset-... flags");
    if (!restore_default)
      throw compat::UsageError("--finetune-from-model and --restore-file exclude each other");
  }
  if (!restore_default) {
    const fs::path given = options.restore_file;
    std::string suffixed =
        (fs::is_directory(given) ? given / "checkpoint_last.pt" : given).string();
    if (const std::size_t dot = suffixed.rfind(".pt"); dot != std::string::npos)
      suffixed.insert(dot, options.checkpoint_suffix);
    if (!options.checkpoint_suffix.empty() && fs::exists(suffixed)) return suffixed;
    if (!fs::exists(given))
      throw compat::IoError(given.string(), "does not exist (--restore-file)");
    return compat::resolve_model(given).path;  // also DeMIX from a dense model
  }
  if (fs::path last = last_checkpoint(options); fs::exists(last)) return last;
  if (options.finetune_from_model.empty()) return {};
  if (!fs::exists(options.finetune_from_model))
    throw compat::IoError(options.finetune_from_model, "does not exist (--finetune-from-model)");
  options.reset_optimizer = options.reset_lr_scheduler = options.reset_meters =
      options.reset_dataloader = true;
  return compat::resolve_model(options.finetune_from_model).path;
}

}  // namespace btm
