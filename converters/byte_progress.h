// Progress of a pass over files: MB read, MB/s and the remaining time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "compat/program/progress_bar.h"

namespace converters {

class ByteProgress {
 public:
  /// On a terminal a bar. Elsewhere a line on stderr after every tenth of `total_bytes`, and none
  /// for less than 100 MB.
  ByteProgress(const std::string& what, std::uint64_t total_bytes);
  void advance(std::uint64_t bytes);
  /// Seconds since the start.
  double seconds() const;
  void clear() { bar_.clear(); }

 private:
  compat::ProgressBar bar_;
  std::uint64_t total_, done_ = 0, shown_ = 0;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace converters
