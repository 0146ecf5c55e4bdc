// The log of a server that must not wait for whoever reads it.
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace btm {

/// Writes lines from a thread of its own. Where a pager, a stopped terminal or a full pipe takes
/// nothing, lines wait up to kMostBytes. Later ones are lost, and a line says how many they were.
class LogWriter {
 public:
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;

  explicit LogWriter(int descriptor = STDERR_FILENO);
  /// Waits at most two seconds for lines that nobody takes.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Without the end of the line. Returns at once, on any thread.
  void write(std::string_view line);

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  /// False where it cannot be written.
  bool send(std::string_view text) const;

  int descriptor_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string pending_;
  std::int64_t lost_ = 0;
  std::atomic<bool> ends_ = false;
  Clock::time_point deadline_;  ///< Set before ends_.
  std::thread thread_;
};

}  // namespace btm
