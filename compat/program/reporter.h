// How a command tells what it does and finds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "compat/program/progress_bar.h"

namespace compat {

/// fairseq's flags for it.
struct LogOptions {
  std::string log_format;  ///< "": tqdm on a terminal, simple elsewhere
  std::int64_t log_interval = 100;
  bool no_progress_bar = false, quiet = false;
};

/// Results go to standard output; progress and warnings, to standard error. The bar gives way to
/// both.
class Reporter {
 public:
  /// `program` stands before warnings ("btm eval-lm"), `label` before the progress. Without
  /// `prints` (ranks other than 0) nothing appears.
  Reporter(std::string program, const std::string& label, const LogOptions& options,
           bool prints = true);

  void result(const std::string& line);
  void warn(const std::string& line);
  /// Step `done` of `total` is over; nothing where the options are quiet. `stats` is called only
  /// when something is shown.
  void progress(std::int64_t done, std::int64_t total,
                const std::function<ProgressBar::Stats()>& stats = {});
  /// The last progress has been made.
  void end_progress() { bar_.clear(); }

 private:
  std::string program_;
  bool prints_, shows_progress_;
  ProgressBar bar_;
};

}  // namespace compat
