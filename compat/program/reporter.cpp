#include "compat/program/reporter.h"

#include <iostream>

namespace compat {

Reporter::Reporter(std::string program, const std::string& label, const LogOptions& options,
                   bool prints)
    : program_(std::move(program)),
      prints_(prints),
      shows_progress_(prints && !options.quiet),
      bar_(label, options.log_format, options.log_interval, options.no_progress_bar,
           [](const std::string& line) { std::cerr << line << std::endl; }) {}

void Reporter::result(const std::string& line) {
  if (!prints_) return;
  bar_.clear();
  std::cout << line << "\n";
}

void Reporter::warn(const std::string& line) {
  if (!prints_) return;
  bar_.clear();
  std::cerr << program_ << ": warning: " << line << std::endl;
}

void Reporter::progress(std::int64_t done, std::int64_t total,
                        const std::function<ProgressBar::Stats()>& stats) {
  if (shows_progress_)
    bar_.update(done, total, [&] { return stats ? stats() : ProgressBar::Stats{}; });
}

}  // namespace compat
