// The probabilities of all tokens under a mixture, and the most probable ones. V symbols of the
// dictionary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/mixing/predictor.h"

namespace btm {

/// One expert's logits [V], and what is added to them: the log of its weight less the log of the
/// sum of its exponentials.
struct WeightedLogits {
  const float* logits = nullptr;
  double shift = 0;
};

/// log sum exp(logits + shift) over the experts, for every token: `out` [V]. A token's bits do not
/// depend on the number of threads.
void mix_logits(std::span<const WeightedLogits> experts, std::span<float> out);

/// The `count` best of log_probs [V], all where there are fewer. The best first; among equals, the
/// smaller id first.
std::vector<TopToken> top_tokens(std::span<const float> log_probs, std::int64_t count);

/// What is mixed at a place.
struct Mixing {
  std::vector<WeightedLogits> logits;
  const Want* want = nullptr;
  Readout* readout = nullptr;
};

/// Mixes over `vocabulary` tokens, and fills in the best of them and the distribution as wanted.
void mix(const Mixing& mixing, std::int64_t vocabulary);

}  // namespace btm
