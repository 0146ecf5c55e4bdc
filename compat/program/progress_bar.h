// Progress of long work: a line that is redrawn on a terminal, plain lines in a log. fairseq's
// --log-format.
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
  /// Numbers to show, as they should be printed.
  using Stats = std::vector<std::pair<std::string, std::string>>;

  /// `format`: tqdm, simple, json or none; "" is tqdm on a terminal and simple elsewhere, tqdm is
  /// simple where there is no terminal. simple and json print every `log_interval` steps. Lines go
  /// to `line`, the bar to stderr.
  ProgressBar(std::string prefix, std::string format, std::int64_t log_interval,
              bool no_progress_bar, std::function<void(const std::string&)> line);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Step `done` of `total` is over. `stats` is called only when something is shown.
  void update(std::int64_t done, std::int64_t total, const std::function<Stats()>& stats);
  /// Removes the bar, so that other lines can be printed.
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
