// A row of a predictor: its text, and how far the posterior and each expert have come in it. E
// experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "btm/mixing/expert_lane.h"
#include "btm/mixing/posterior.h"
#include "btm/mixing/predictor.h"

namespace btm {

constexpr float kNotRun = std::numeric_limits<float>::quiet_NaN();  ///< The score of no expert.

struct TextRow {
  std::vector<std::int64_t> text;
  std::shared_ptr<const Posterior> posterior;
  Posterior::State start;  ///< That of the empty text.
  Posterior::State state;
  std::int64_t taken = 0;  ///< Tokens of the text that `state` has read (and observed).
  std::string fault = {};  ///< What a model of it said when it gave NaN.
  /// [E] scores of the tokens after the first: evidence, which `state` observes.
  std::vector<std::vector<float>> evidence;
  std::vector<ExpertLane::Row> experts;            ///< [E]
  std::optional<std::vector<double>> log_weights;  ///< Of `state`, once they are known.

  std::int64_t length() const { return static_cast<std::int64_t>(text.size()); }
  /// Tokens with a known score, counted from the text's beginning.
  std::int64_t scored(std::size_t expert) const {
    return 1 + static_cast<std::int64_t>(evidence[expert].size());
  }
  /// Whether a want is about the product of several experts.
  bool is_product(const Want& want) const {
    return experts.size() > 1 && !want.expert && posterior->combination() == Combination::kProduct;
  }
  /// Whether all logits are needed. A product is normalised over all tokens.
  bool needs_logits(const Want& want) const {
    return want.top > 0 || want.distribution || (want.target && is_product(want));
  }
  /// Keeps an expert's score of the token after a place.
  void add_evidence(std::size_t expert, std::int64_t place, float score);
  /// Lets the posterior take the text up to a place. One expert alone needs no posterior.
  void progress(std::int64_t place);
  /// [E] for the token after those that the posterior has taken.
  std::vector<double> current_log_weights();
  /// The first `length` tokens and what is known of them, without `experts`.
  TextRow prefix(std::int64_t length) const;
};

/// A row in a step. Its places from `first` on are new.
struct Work {
  TextRow* row = nullptr;
  std::int64_t first = 0;
  const Want* wants = nullptr;   ///< Of each new place.
  Readout* readouts = nullptr;   ///< Of each new place.
  std::int64_t mixed_up_to = 0;  ///< The last place whose weights are needed, or -1.
  std::vector<std::vector<std::size_t>> experts;  ///< Of each new place: who runs there, ascending.

  std::int64_t places() const { return row->length() - first; }
  /// A fault at one of the new places, or of the row, is that of all.
  void share_fault();
};

}  // namespace btm
