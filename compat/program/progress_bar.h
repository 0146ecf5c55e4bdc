// Progress of long work: a bar on a terminal, or plain lines in a log. As fairseq's --log-format.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
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
  void update(std::int64_t done, std::int64_t total, const std::function<Stats()>& stats);
  /// Erases the bar, so that other lines can be printed.
  void clear();

 private:
  enum class Mode : std::uint8_t { kBar, kSimple, kJson, kNone };
  void draw(std::int64_t done, std::int64_t total, const Stats& stats);

  std::string prefix_;
  Mode mode_;
  std::int64_t log_interval_;
  std::function<void(const std::string&)> line_;
  std::chrono::steady_clock::time_point start_, drawn_;
  bool visible_ = false;
};

}  // namespace compat
