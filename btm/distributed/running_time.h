// A clock that stands still while this process is stopped.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace btm {

/// The time during which this process ran. Time in which it was stopped (SIGSTOP, a debugger) does
/// not count, so that a run which was stopped as a whole takes no rank for silent when it
/// continues. Coarse: good for limits of many seconds. A thread keeps it.
class RunningTime {
 public:
  using Duration = std::chrono::milliseconds;

  RunningTime() : thread_([this] { tick(); }) {}
  ~RunningTime();
  RunningTime(const RunningTime&) = delete;
  RunningTime& operator=(const RunningTime&) = delete;

  /// Since the clock was made.
  Duration now() const noexcept { return Duration(elapsed_.load()); }

 private:
  void tick();

  std::atomic<Duration::rep> elapsed_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace btm
