#include "btm/distributed/rank_watch.h"

#include <algorithm>
#include <exception>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr auto kBeat = std::chrono::milliseconds(500);
constexpr auto kSilence = std::chrono::seconds(
    30);  // for a rank whose connections are still open but whose machine is gone
constexpr auto kToBeSeen = 4 * kBeat;
constexpr auto kTimeToLeave = std::chrono::seconds(10);
constexpr auto kTimeOfStrays = std::chrono::minutes(1);
constexpr std::int64_t kLeft = INT64_MIN / 2;
constexpr const char* kLost = "lost";

std::string key_of(int rank) { return compat::concat("alive/", rank); }

}  // namespace

RankWatch::RankWatch(c10::intrusive_ptr<c10d::Store> store, int rank, int size)
    : store_(std::move(store)), rank_(rank), size_(size), thread_([this] { watch(); }) {}

RankWatch::~RankWatch() { stop(); }

void RankWatch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string RankWatch::lost() const {
  const std::lock_guard lock(mutex_);
  if (lost_.empty() && running_.now() - last_beat_.load() > kSilence)
    return name_of(0) + " does not answer";
  return lost_;
}

std::string RankWatch::known_lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void RankWatch::set_lost(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (lost_.empty()) lost_ = text;
}

void RankWatch::when_stuck(std::function<void(const std::string& lost)> leave) {
  const std::lock_guard lock(mutex_);
  leave_ = std::move(leave);
}

void RankWatch::leave_if_silent() {
  if (running_.now() - last_beat_.load() <= kSilence) return;
  std::unique_lock lock(mutex_);
  const auto leave = leave_;
  lock.unlock();
  if (leave) leave(lost());
}

void RankWatch::publish(const std::string& text) {
  const std::string known = store_->compareSet(kLost, "", text);
  set_lost(known.empty() ? text : known);
}

std::int64_t RankWatch::count_of(int rank) const { return store_->add(key_of(rank), 0); }

void RankWatch::look_for_silent(std::vector<Pulse>& pulses) {
  const auto now = running_.now();
  for (int rank = 1; rank < size_; ++rank) {
    Pulse& pulse = pulses[static_cast<std::size_t>(rank)];
    const std::int64_t count = count_of(rank);
    if (count != pulse.count || count < 0) pulse = {count, now};
    if (now - pulse.since > kSilence) publish(name_of(rank) + " does not answer");
  }
}

void RankWatch::watch() {
  watch_until_lost();
  std::unique_lock lock(mutex_);
  if (wake_.wait_for(lock, kTimeToLeave, [this] { return stop_; }) || calls_ == 0 || !leave_)
    return;
  const auto leave = leave_;
  const std::string lost = lost_;
  lock.unlock();
  leave(lost);
}

/// Or until stop().
void RankWatch::watch_until_lost() {
  const auto start = Clock::now();
  std::vector<Pulse> pulses(static_cast<std::size_t>(size_), Pulse{0, running_.now()});
  try {
    for (;;) {
      store_->add(key_of(rank_), 1);
      if (store_->check({kLost})) set_lost(store_->get_to_str(kLost));
      // Somebody who was told of more ranks may come when those of this one have begun. Later on
      // it is a stranger with the same address.
      if (Clock::now() - start < kTimeOfStrays && store_->check({kRunProblem})) {
        publish(store_->get_to_str(kRunProblem));
        store_->add(kRunProblemHeard, 1);
      }
      if (rank_ == 0) look_for_silent(pulses);
      last_beat_ = running_.now();
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, kBeat, [this] { return stop_; }) || !lost_.empty()) return;
    }
  } catch (const std::exception&) {
    set_lost(name_of(0) + " is gone");  // it keeps the store
  }
}

/// The ranks whose counts are still those of `before`, and those that have left.
std::vector<int> RankWatch::standing_still(const std::vector<std::int64_t>& before) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; ++rank) {
    const std::int64_t count = before[static_cast<std::size_t>(rank)];
    if (rank != rank_ && (count < 0 || count_of(rank) == count)) ranks.push_back(rank);
  }
  return ranks;
}

std::string RankWatch::find_lost(const std::string& problem) {
  try {
    std::vector<std::int64_t> before;
    for (int rank = 0; rank < size_; ++rank) before.push_back(count_of(rank));
    const auto start = Clock::now();
    std::vector<int> gone = standing_still(before);
    // A busy machine slows down several ranks at once, so more than one silent rank gets more time.
    while (lost().empty() &&
           Clock::now() - start < (gone.size() == 1 ? kToBeSeen : 5 * kToBeSeen) && !gone.empty()) {
      std::this_thread::sleep_for(kBeat / 5);
      gone = standing_still(before);
    }
    if (lost().empty() && !gone.empty()) publish(name_of(gone.front()) + " is gone");
  } catch (const std::exception&) {
    set_lost(name_of(0) + " is gone");
  }
  const std::string text = lost();
  return text.empty() ? problem : text;
}

void RankWatch::report_own_failure() noexcept {
  try {
    publish(name_of(rank_) + " has failed");
  } catch (const std::exception&) {
    // The store is gone, which tells the others.
  }
}

void RankWatch::leave(bool hosts_store) noexcept {
  try {
    if (!hosts_store) stop();
    store_->add(key_of(rank_), kLeft);
    if (!hosts_store) return;
    // The store ends with this process: rank 0 must be the last to go.
    for (bool waiting = true; waiting && lost().empty();) {
      waiting = false;
      for (int rank = 1; rank < size_; ++rank) waiting = waiting || count_of(rank) >= 0;
      if (waiting) std::this_thread::sleep_for(kBeat / 25);
    }
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
}

}  // namespace btm
