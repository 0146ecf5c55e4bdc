#include "btm/distributed/running_time.h"

#include <algorithm>

namespace btm {
namespace {

constexpr RunningTime::Duration kTick(250);
/// A longer pause between two ticks is one of the whole process.
constexpr RunningTime::Duration kLongestTick = 4 * kTick;

}  // namespace

RunningTime::~RunningTime() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void RunningTime::tick() {
  auto last = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kTick, [this] { return stop_; })) {
    const auto now = std::chrono::steady_clock::now();
    elapsed_ += std::min(std::chrono::duration_cast<Duration>(now - last), kLongestTick).count();
    last = now;
  }
}

}  // namespace btm
