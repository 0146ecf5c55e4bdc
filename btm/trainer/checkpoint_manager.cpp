#include "btm/trainer/checkpoint_manager.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <regex>
#include <utility>

#include "compat/atomic_file.h"
#include "compat/checkpoint.h"
#include "compat/error.h"
#include "compat/mapped_file.h"
#include "compat/text.h"

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

void copy_atomically(const fs::path& from, const fs::path& to) {
  const auto source = compat::MappedFile::open(from);
  compat::AtomicFile file(to);
  file.write(source->bytes());
  file.commit();
}

void remove_beyond(const std::vector<fs::path>& files, std::int64_t kept) {
  for (auto i = static_cast<std::size_t>(kept); i < files.size(); ++i) {
    std::error_code ignored;  // another process may have been faster
    fs::remove(files[i], ignored);
  }
}

double number_in(const std::string& name, const std::regex& pattern) {
  std::smatch match;
  return std::regex_match(name, match, pattern) ? std::strtod(match[1].str().c_str(), nullptr) : 0;
}

}  // namespace

std::vector<fs::path> numbered_files(const fs::path& folder, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::pair<double, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, regex)) found.emplace_back(number_in(name, regex), entry.path());
  }
  std::ranges::stable_sort(found, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<fs::path> files;
  for (auto& [number, path] : found) files.push_back(std::move(path));
  return files;
}

CheckpointManager::~CheckpointManager() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointManager::note(std::optional<double> val_loss) {
  if (!val_loss) return;
  const double before = best_.value_or(*val_loss);
  best_ = options_.maximize_best_checkpoint_metric ? std::max(before, *val_loss) : std::min(before, *val_loss);
}

std::vector<std::string> CheckpointManager::file_names(const SavePoint& point) const {
  const CheckpointOptions& o = options_;
  if (o.no_save) return {};
  const std::string end = o.checkpoint_suffix + ".pt";
  const std::string last = last_checkpoint(o).filename().string();
  if (point.interrupted) return {last};
  const auto better = [&](double a, double b) { return o.maximize_best_checkpoint_metric ? a >= b : a <= b; };
  std::vector<std::string> names;
  if (point.end_of_epoch && !o.no_epoch_checkpoints && point.epoch % o.save_interval == 0)
    names.push_back("checkpoint" + std::to_string(point.epoch) + end);
  if (!point.end_of_epoch && o.save_interval_updates > 0 && point.updates % o.save_interval_updates == 0)
    names.push_back("checkpoint_" + std::to_string(point.epoch) + "_" + std::to_string(point.updates) + end);
  if (point.val_loss && (!best_ || better(*point.val_loss, *best_))) names.push_back("checkpoint_best" + end);
  if (point.val_loss && o.keep_best_checkpoints > 0) {
    const std::string prefix = "checkpoint.best_" + o.best_checkpoint_metric + "_";
    const std::string pattern = escaped(prefix) + R"((\d+\.?\d*))" + escaped(end);
    const std::vector<fs::path> files = numbered_files(o.save_dir, pattern);
    std::optional<double> worst = best_;
    if (!files.empty())
      worst = number_in((o.maximize_best_checkpoint_metric ? files.back() : files.front()).filename().string(), std::regex(pattern));
    // One digit more keeps equal values apart.
    if (!worst || better(*point.val_loss, *worst))
      names.push_back(prefix + compat::decimal(*point.val_loss, 3) + std::to_string(point.updates % o.keep_best_checkpoints) + end);
  }
  if (!o.no_last_checkpoints) names.push_back(last);
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

void CheckpointManager::write(const std::vector<Part>& parts, const std::vector<std::string>& names, const SavePoint& point) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path folder = options_.save_dir, first = folder / names.front();
  std::vector<std::pair<fs::path, fs::path>> waiting;
  for (const Part& part : parts) {
    fs::path original;
    for (const std::string& name : names) {
      const fs::path path = folder / (name.substr(0, name.size() - options_.checkpoint_suffix.size() - 3) + part.suffix + ".pt");
      const fs::path target = all_written_ ? fs::path(path.string() + ".new") : path;
      if (all_written_) waiting.emplace_back(target, path);
      // Copies, not links: a program that overwrites one in place must not damage the other.
      if (original.empty())
        compat::save_checkpoint(target, *part.tree.root);
      else
        copy_atomically(original, target);
      if (original.empty()) original = target;
    }
  }
  if (all_written_) all_written_();
  for (const auto& [from, to] : waiting) compat::rename_file(from, to);
  if (!point.interrupted)
    for (const Part& part : parts) remove_old(point, part.suffix);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  message_ = "Saved checkpoint " + first.string() + " (epoch " + std::to_string(point.epoch) + " @ " + std::to_string(point.updates) +
             " updates, score " + (point.val_loss ? compat::decimal(*point.val_loss, 3) : "None") + ") (writing took " +
             compat::decimal(seconds, 3) + " seconds in the background)";
}

void CheckpointManager::remove_old(const SavePoint& point, const std::string& suffix) const {
  const CheckpointOptions& o = options_;
  const std::string end = escaped(suffix + ".pt");
  if (!point.end_of_epoch && o.keep_interval_updates > 0) {
    const std::string pattern = R"(checkpoint_\d+_(\d+))" + end;
    std::vector<fs::path> files = numbered_files(o.save_dir, pattern);
    if (o.keep_interval_updates_pattern > 0)  // every so-many-th is kept for good
      std::erase_if(files, [&](const fs::path& file) {
        return static_cast<std::int64_t>(number_in(file.filename().string(), std::regex(pattern))) % o.keep_interval_updates_pattern == 0;
      });
    remove_beyond(files, o.keep_interval_updates);
  }
  if (o.keep_last_epochs > 0) remove_beyond(numbered_files(o.save_dir, R"(checkpoint(\d+))" + end), o.keep_last_epochs);
  if (o.keep_best_checkpoints > 0) {
    std::vector<fs::path> files =
        numbered_files(o.save_dir, escaped("checkpoint.best_" + o.best_checkpoint_metric + "_") + R"((\d+\.?\d*))" + end);
    if (!o.maximize_best_checkpoint_metric) std::ranges::reverse(files);
    remove_beyond(files, o.keep_best_checkpoints);
  }
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

fs::path starting_checkpoint(CheckpointOptions& options) {
  const bool restore_default = options.restore_file == "checkpoint_last.pt";
  if (!options.finetune_from_model.empty()) {
    if (options.reset_optimizer || options.reset_lr_scheduler || options.reset_meters || options.reset_dataloader)
      throw compat::UsageError("--finetune-from-model resets everything itself and excludes the --reset-... flags");
    if (!restore_default) throw compat::UsageError("--finetune-from-model and --restore-file exclude each other");
  }
  if (!restore_default) {
    std::string suffixed = options.restore_file;
    if (const std::size_t dot = suffixed.rfind(".pt"); dot != std::string::npos) suffixed.insert(dot, options.checkpoint_suffix);
    fs::path path = suffixed;
    if (!fs::exists(path)) path = options.restore_file;  // DeMIX from a dense model
    if (!fs::exists(path)) throw compat::IoError(path.string(), "is not there (--restore-file)");
    return path;
  }
  if (fs::path last = last_checkpoint(options); fs::exists(last)) return last;
  if (options.finetune_from_model.empty()) return {};
  if (!fs::exists(options.finetune_from_model)) throw compat::IoError(options.finetune_from_model, "is not there (--finetune-from-model)");
  options.reset_optimizer = options.reset_lr_scheduler = options.reset_meters = options.reset_dataloader = true;
  return options.finetune_from_model;
}

}  // namespace btm
