// A row of a predictor: its text, and how far the posterior and each expert have come in it. E
// experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "btm/mixing/expert_lane.h"
#include "btm/mixing/posterior.h"

namespace btm {

constexpr float kNotRun = std::numeric_limits<float>::quiet_NaN();  ///< The score of no expert.

struct TextRow {
  std::vector<std::int64_t> text;
  Posterior::State state;
  std::int64_t taken = 0;  ///< Tokens of the text that `state` has read (and observed).
  /// [E] scores of the tokens from `scored_from` on: evidence that `state` has not observed yet.
  std::vector<std::vector<float>> evidence;
  std::int64_t scored_from = 1;
  std::vector<ExpertLane::Row> experts;            ///< [E]
  std::optional<std::vector<double>> log_weights;  ///< Of `state`, once they are known.

  std::int64_t length() const { return static_cast<std::int64_t>(text.size()); }
  /// Tokens with a known score, counted from the text's beginning.
  std::int64_t scored(std::size_t expert) const {
    return scored_from + static_cast<std::int64_t>(evidence[expert].size());
  }
  /// Keeps an expert's score of the token after a place.
  void add_evidence(std::size_t expert, std::int64_t place, float score);
  /// Lets the posterior take the text up to a place. One expert alone needs no posterior.
  void progress(const Posterior& posterior, std::int64_t place);
  /// Drops the evidence that the posterior has observed.
  void forget_evidence();
  /// [E] for the token after those that the posterior has taken.
  std::vector<double> current_log_weights(const Posterior& posterior);
};

}  // namespace btm
