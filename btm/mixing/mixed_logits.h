// The probabilities of all tokens under a mixture, and the most probable ones. V symbols of the
// dictionary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/mixing/predictor.h"

namespace btm {

/// One expert's logits [V] and what makes them terms of a mixture. In a mean, `shift` is the log of
/// its weight less the log of the sum of its exponentials. In a product, `factor` is its weight and
/// `shift` that weight times minus the log of the sum.
struct WeightedLogits {
  const float* logits = nullptr;
  double shift = 0;
  double factor = 1;
};

/// log sum exp(logits + shift) over the experts, for every token: `out` [V]. A token's bits do not
/// depend on the number of threads.
void mix_logits(std::span<const WeightedLogits> experts, std::span<float> out);

/// sum of factor * logits + shift over the experts, for every token: `out` [V]. As many bits alike.
void multiply_experts(std::span<const WeightedLogits> experts, std::span<float> out);

/// Whether `a` comes before `b`: it is more probable, or as probable and has the smaller id.
bool is_better(const TopToken& a, const TopToken& b);

/// The `count` best of log_probs [V], all where there are fewer. The best first; among equals, the
/// smaller id first.
std::vector<TopToken> top_tokens(std::span<const float> log_probs, std::int64_t count);

/// What is mixed at a place.
struct Mixing {
  std::vector<WeightedLogits> logits;
  const Want* want = nullptr;
  Readout* readout = nullptr;
  bool product = false;  ///< Of the experts, instead of their mean.

  /// An expert with the log of its weight, and the log of the sum of its exponentials. One without
  /// a weight is left out.
  void add(const float* expert_logits, double log_sum, double log_weight);
};

/// Mixes over `vocabulary` tokens, and fills in the best of them and the distribution as wanted. Of
/// a product also the target's log-probability; a fault where no token has a probability.
void mix(const Mixing& mixing, std::int64_t vocabulary);

}  // namespace btm
