// Progress of long work: a bar on a terminal, or plain lines in a log. As fairseq's --log-format.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace compat {

class ProgressBar {
 public:
  /// Names and values to show, formatted.
  using Stats = std::vector<std::pair<std::string, std::string>>;

  /// `format` is tqdm, simple, json or none. "" means tqdm on a terminal and simple elsewhere. tqdm
  /// without a terminal, or on a dumb one, means simple. simple and json print a line every
  /// `log_interval` steps. Lines go to `line`, the bar goes to stderr.
  ProgressBar(std::string prefix, std::string format, std::int64_t log_interval,
              bool no_progress_bar, std::function<void(const std::string&)> line);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Reports that step `done` of `total` is over. `stats` is called only when something is shown.
  /// `share`, from 0 to 1, is the part of the work that is done, where steps differ in length. What
  /// the first call reports was done before: the time that is left follows from what came since.
  void update(std::int64_t done, std::int64_t total, const std::function<Stats()>& stats,
              std::optional<double> share = {});
  /// Erases the bar, so that other lines can be printed.
  void clear();

 private:
  enum class Mode : std::uint8_t { kBar, kSimple, kJson, kNone };
  void draw(std::int64_t done, std::int64_t total, double share, const Stats& stats);

  std::string prefix_;
  Mode mode_;
  std::int64_t log_interval_;
  std::function<void(const std::string&)> line_;
  std::chrono::steady_clock::time_point start_, drawn_;
  std::optional<double> begun_;  ///< The share that was done before.
  bool visible_ = false;
};

}  // namespace compat
