#include "btm/trainer/train_log.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_line.h"
#include "compat/program/console.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kWandbFile = "wandb.jsonl";

/// Spaced as by Python's json.dumps, because log readers compare the text.
std::string python_json(const std::vector<std::pair<std::string, Json>>& items) {
  const auto member = [](const auto& item) {
    return compat::concat(compat::json_line(Json(item.first)), ": ",
                          compat::json_line(item.second));
  };
  return compat::concat('{', compat::join(items, ", ", member), '}');
}

std::string value_text(const std::optional<double>& value) {
  return value ? compat::general(*value) : "None";
}

std::string epoch_prefix(std::int64_t epoch) { return "epoch " + compat::zero_filled(epoch, 3); }

std::string joined(const LogRow& row, const char* equals, const char* between) {
  return compat::join(row, between, [&](const auto& item) {
    return compat::concat(item.first, equals, value_text(item.second));
  });
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

std::FILE* open_to_append(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) throw compat::IoError(path, "cannot open", errno);
  return file;
}

/// At once, so that whoever follows the log sees it. IoError that calls the file `name`.
void write_line(std::FILE* file, const std::string& line, const char* name) {
  if (std::fwrite(line.data(), 1, line.size(), file) != line.size() ||
      std::fputc('\n', file) == EOF || std::fflush(file) != 0)
    throw compat::IoError(name, "cannot write", errno);
}

}  // namespace

TrainLog::TrainLog(const CommonOptions& common, std::string save_dir, bool quiet)
    : quiet_(quiet),
      interval_(std::max<std::int64_t>(1, common.log_interval)),
      save_dir_(std::move(save_dir)),
      wandb_project_(common.wandb_project),
      tensorboard_logdir_(common.tensorboard_logdir) {
  std::string format =
      common.log_format.empty() ? (common.no_progress_bar ? "simple" : "tqdm") : common.log_format;
  if (format == "tqdm" && !compat::can_redraw_lines()) format = "simple";
  format_ = format == "json"     ? Format::kJson
            : format == "simple" ? Format::kSimple
            : format == "tqdm"   ? Format::kBar
                                 : Format::kNone;
  if (quiet_) return;
  if (!common.log_file.empty()) log_file_.reset(open_to_append(common.log_file));
}

void TrainLog::begin() {
  if (quiet_ || wandb_project_.empty()) return;
  std::error_code ignored;
  fs::create_directories(save_dir_, ignored);
  wandb_.reset(open_to_append((fs::path(save_dir_) / kWandbFile).string()));
  const char* const name = std::getenv("WANDB_NAME");
  const std::string folder = (fs::path(save_dir_) / "").parent_path().filename().string();
  const Json run{{"project", wandb_project_}, {"name", name != nullptr ? name : folder}};
  write_line(wandb_.get(), compat::json_line(run), kWandbFile);
}

void TrainLog::line(const char* level, const std::string& name, const std::string& message) {
  if (quiet_) return;
  if (bar_) bar_->clear();
  const std::string text =
      compat::without_controls(now_text() + " | " + level + " | " + name + " | " + message);
  write_line(stdout, text, "standard output");
  if (log_file_) write_line(log_file_.get(), text, "--log-file");
}

void TrainLog::info(const std::string& name, const std::string& message) {
  line("INFO", name, message);
}
void TrainLog::warn(const std::string& name, const std::string& message) {
  line("WARNING", name, message);
}

void TrainLog::record(const std::string& tag, const LogRow& row, std::int64_t step) {
  if (!tensorboard_logdir_.empty()) {
    auto& file = event_files_[tag];
    if (!file) file = std::make_unique<EventFile>(fs::path(tensorboard_logdir_) / tag);
    for (const auto& [key, value] : row)
      if (key != "num_updates" && value) file->add_scalar(key, *value, step);
    file->flush();
  }
  if (wandb_) {
    Json json{{"_step", step}};
    for (const auto& [key, value] : row)
      if (value) json[tag + "/" + key] = *value;
    write_line(wandb_.get(), compat::json_line(json), kWandbFile);
  }
}

void TrainLog::row(const std::string& tag, std::int64_t epoch, std::int64_t done,
                   std::int64_t total, const LogRow& row, std::int64_t step) {
  if (quiet_) return;
  record(tag, row, step);
  if (format_ == Format::kJson) {
    const double update =
        static_cast<double>(epoch - 1) + static_cast<double>(done) / static_cast<double>(total);
    std::vector<std::pair<std::string, Json>> items{{"epoch", epoch},
                                                    {"update", python_round(update, 3)}};
    for (const auto& [key, value] : row)
      items.emplace_back(key, value ? Json(compat::general(*value)) : Json());
    line("INFO", tag, python_json(items));
  } else if (format_ == Format::kSimple) {
    line("INFO", tag,
         compat::concat(epoch_prefix(epoch), ":  ", compat::right_aligned(std::to_string(done), 5),
                        " / ", total, ' ', joined(row, "=", ", ")));
  } else if (format_ == Format::kBar) {
    bar_stats_.clear();
    for (const auto& [key, value] : row) bar_stats_.emplace_back(key, value_text(value));
  }
}

void TrainLog::progress(std::int64_t epoch, const std::string& subset, std::int64_t done,
                        std::int64_t total) {
  if (quiet_ || format_ != Format::kBar) return;
  const std::string prefix =
      epoch_prefix(epoch) + (subset.empty() ? "" : " | valid on '" + subset + "' subset");
  if (!bar_ || prefix != bar_prefix_) {
    bar_ =
        std::make_unique<compat::ProgressBar>(prefix, "tqdm", 1, false, [](const std::string&) {});
    bar_prefix_ = prefix;
  }
  bar_->update(done, total,
               [&] { return subset.empty() ? bar_stats_ : compat::ProgressBar::Stats{}; });
}

void TrainLog::summary(const std::string& tag, std::int64_t epoch, const LogRow& row,
                       std::int64_t step) {
  if (quiet_) return;
  record(tag, row, step);
  if (bar_) bar_->clear();
  if (format_ == Format::kNone) return;
  if (format_ == Format::kJson) {
    std::vector<std::pair<std::string, Json>> items{{"epoch", epoch}};
    for (const auto& [key, value] : row)
      items.emplace_back(tag + "_" + key, value ? Json(compat::general(*value)) : Json());
    return line("INFO", tag, python_json(items));
  }
  const std::string subset = tag == "train" ? "" : " | valid on '" + tag + "' subset";
  line("INFO", tag, epoch_prefix(epoch) + subset + " | " + joined(row, " ", " | "));
}

}  // namespace btm
