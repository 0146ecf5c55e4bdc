// Notices within seconds that a rank of the run is gone, where a collective alone could wait for
// ever.
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

namespace c10d {
class Store;
}

namespace btm {

/// Every rank counts up an entry of its own in the store while it lives. Rank 0 looks for entries
/// that stand still, and the first rank to know that one is lost leaves word in the store, so that
/// all of them say the same.
class RankWatch {
 public:
  /// `store` must be a connection of its own: a thread uses it.
  RankWatch(c10::intrusive_ptr<c10d::Store> store, int rank, int size);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// Who is lost ("rank 2 of 4 is gone"); empty while all are well.
  std::string lost() const;
  /// A collective failed with `problem`: waits until it is known which rank is gone, and names it.
  /// At most a few seconds; when all turn out to be well, `problem` is what it says.
  std::string find_lost(const std::string& problem);
  /// Has `leave`, which must not return, called with who is lost when ten seconds after that became
  /// known the process is still in a Call.
  void when_stuck(std::function<void(const std::string& lost)> leave);
  /// Leaves as when_stuck() says where rank 0, which keeps the store, does not answer: calls to the
  /// store would never return.
  void leave_if_silent();
  /// Lives as long as a call that may never end when a rank is lost.
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
  /// This rank has done its part. With `hosts_store` it returns when the others have too, or one of
  /// them is lost.
  void leave(bool hosts_store) noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Pulse {
    std::int64_t count = 0;  ///< Negative when the rank has left.
    Clock::time_point since;
  };

  void watch();
  void watch_until_lost();
  void stop();
  void look_for_silent(std::vector<Pulse>& pulses);
  std::int64_t count_of(int rank) const;
  std::vector<int> standing_still(const std::vector<std::int64_t>& before) const;
  std::string name_of(int rank) const {
    return "rank " + std::to_string(rank) + " of " + std::to_string(size_);
  }
  void publish(const std::string& text);
  void set_lost(const std::string& text);

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_, size_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string lost_;
  std::function<void(const std::string&)> leave_;
  bool stop_ = false;
  std::atomic<Clock::time_point> last_beat_;
  std::atomic<int> calls_ = 0;
  std::thread thread_;
};

}  // namespace btm
