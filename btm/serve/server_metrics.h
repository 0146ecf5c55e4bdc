// Counts of a server in Prometheus' text format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "btm/serve/engine.h"

namespace btm {

class ServerMetrics {
 public:
  /// `experts` [E]: names.
  explicit ServerMetrics(std::vector<std::string> experts);

  void add_answer(int status, double seconds);
  void add_tokens(std::int64_t prompt, std::int64_t written) {
    prompt_tokens_ += prompt;
    written_tokens_ += written;
  }
  /// The experts' weights [E], summed over tokens. Empty for one model.
  void add_share(std::span<const double> share);
  void add_cancelled() { ++cancelled_; }

  std::string text(const EngineState& engine, std::size_t connections) const;

 private:
  static constexpr std::array kBounds{0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0};

  std::vector<std::string> experts_;
  std::vector<double> share_;            ///< [E]
  std::map<int, std::int64_t> answers_;  ///< By status.
  std::array<std::int64_t, kBounds.size() + 1> seconds_{};
  double all_seconds_ = 0;
  std::int64_t prompt_tokens_ = 0, written_tokens_ = 0, cancelled_ = 0;
};

}  // namespace btm
