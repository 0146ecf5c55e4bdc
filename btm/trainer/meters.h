// fairseq's meters: the numbers of log rows, and their state in a checkpoint.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compat/torch/pickle_value.h"

namespace btm {

/// Python's round(value, digits).
double python_round(double value, int digits);

/// A named value of a log row; empty where fairseq shows None.
using LogRow = std::vector<std::pair<std::string, std::optional<double>>>;

/// One number that is aggregated over updates.
class Meter {
 public:
  enum class Kind : std::uint8_t {
    kAverage,     ///< AverageMeter: weighted mean; with weight 0 the latest value
    kTime,        ///< TimeMeter: events per second
    kStopwatch,   ///< StopwatchMeter: seconds between start and stop
    kPerplexity,  ///< derived from the mean of another meter, never saved
  };
  Meter(Kind kind, int priority, std::optional<int> round);

  void update(double value, double weight);  ///< kAverage
  void count(double events);                 ///< kTime
  void start();                              ///< kStopwatch
  void stop();
  void reset();
  double elapsed() const;              ///< kTime, kStopwatch: seconds since the start
  std::optional<double> mean() const;  ///< Not rounded; empty before the first value.
  std::optional<double> smoothed() const;

  Kind kind() const noexcept { return kind_; }
  int priority() const noexcept { return priority_; }
  compat::PickleNode* state(compat::PickleArena& arena) const;
  void load(const compat::PickleNode& state);

 private:
  using Clock = std::chrono::steady_clock;
  Kind kind_;
  int priority_;
  std::optional<int> round_;
  std::optional<double> value_;
  double sum_ = 0, count_ = 0;
  double init_ = 0;  ///< kTime: seconds of earlier processes
  std::optional<Clock::time_point> start_;
};

/// Meters in the order of their priority.
class MetersDict {
 public:
  void log_scalar(const std::string& key, double value, double weight, int priority,
                  std::optional<int> round = {});
  void log_speed(const std::string& key, double events, int priority, std::optional<int> round);
  void log_start_time(const std::string& key, int priority, std::optional<int> round);
  void log_stop_time(const std::string& key);
  void log_perplexity(const std::string& key, const std::string& source);
  /// Does nothing where `from` is missing or `to` exists.
  void rename(const std::string& from, const std::string& to);
  /// Mean so far of `key`, or empty.
  const Meter* find(const std::string& key) const;
  LogRow row() const;
  void reset();
  void reset_clocks();  ///< TimeMeters only: after a restart their start time is meaningless.

  compat::PickleNode* state(compat::PickleArena& arena) const;
  /// FormatError (which names `file`) for a state that is not fairseq's.
  void load(const compat::PickleNode& state, const std::string& file);

 private:
  Meter& get(const std::string& key, Meter::Kind kind, int priority, std::optional<int> round,
             bool* created = nullptr);
  struct Entry {
    std::string key;
    Meter meter;
    std::string source;  ///< kPerplexity: the meter whose mean it uses
  };
  std::vector<Entry> entries_;
};

/// fairseq's aggregators by name: default, train, train_inner, valid.
class Metrics {
 public:
  MetersDict& operator[](const std::string& name);
  compat::PickleNode* state(compat::PickleArena& arena) const;
  void load(const compat::PickleNode& state, const std::string& file);

 private:
  std::deque<std::pair<std::string, MetersDict>> aggregators_{
      {"default", {}}};  ///< references stay valid
};

}  // namespace btm
