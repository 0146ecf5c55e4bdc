// Notices within seconds that a rank of the run is gone. A collective alone could wait for ever.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "btm/distributed/running_time.h"
#include "compat/base/concat.h"

namespace c10d {
class Store;
}

namespace btm {

/// The key under which a rank writes to the store what makes the run impossible.
inline constexpr const char* kRunProblem = "problem";
/// The number of ranks that have read it.
inline constexpr const char* kRunProblemHeard = "heard";

/// Every rank increments its own counter in the store while it lives. Rank 0 looks for counters
/// that stand still. The first rank to know that one is lost writes that to the store, so that all
/// report the same.
class RankWatch {
 public:
  /// `store` must be a separate connection, because a thread uses it.
  RankWatch(c10::intrusive_ptr<c10d::Store> store, int rank, int size);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// The lost rank ("rank 2 of 4 is gone"); empty while all live.
  std::string lost() const;
  /// The same, but an unanswering rank 0 is not yet lost.
  std::string known_lost() const;
  /// After a collective failed with `problem`: waits, at most a few seconds, until it is known
  /// which rank is gone, and names it. Returns `problem` when all ranks live.
  std::string find_lost(const std::string& problem);
  /// Calls `leave`, which must not return, with the lost rank when the process is still in a Call
  /// ten seconds after the loss became known.
  void when_stuck(std::function<void(const std::string& lost)> leave);
  /// Leaves as by when_stuck() where rank 0, which holds the store, does not answer: calls to the
  /// store would never return.
  void leave_if_silent();
  /// Exists during a call that may never end when a rank is lost.
  class Call {
   public:
    explicit Call(RankWatch& watch) : watch_(watch) { ++watch_.calls_; }
    ~Call() { --watch_.calls_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    RankWatch& watch_;
  };
  /// Tells the others that this rank has failed.
  void report_own_failure() noexcept;
  /// This rank is done. With `hosts_store` it returns when the others are done too, or one is lost.
  void leave(bool hosts_store) noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Pulse {
    std::int64_t count = 0;  ///< Negative when the rank has left.
    RunningTime::Duration since;
  };

  void watch();
  void watch_until_lost();
  void stop();
  void look_for_silent(std::vector<Pulse>& pulses);
  std::int64_t count_of(int rank) const;
  std::vector<int> standing_still(const std::vector<std::int64_t>& before) const;
  std::string name_of(int rank) const { return compat::concat("rank ", rank, " of ", size_); }
  void publish(const std::string& text);
  void set_lost(const std::string& text);

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_, size_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string lost_;
  std::function<void(const std::string&)> leave_;
  bool stop_ = false;
  RunningTime running_;
  std::atomic<RunningTime::Duration> last_beat_{};
  std::atomic<int> calls_ = 0;
  std::thread thread_;
};

}  // namespace btm
