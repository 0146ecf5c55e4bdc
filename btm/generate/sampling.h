// Draws tokens as fairseq's Sampling does: the probabilities of tokens that may follow are not
// normalised before the set of the most probable is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

#include "btm/generate/generate_options.h"
#include "btm/mixing/predictor.h"

namespace btm {

/// Random numbers of one sample. They depend on the seed, the prompt and the sample's number, and
/// on nothing else: the same prompt gives the same text in every place of every batch.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::span<const std::int64_t> prompt, std::size_t sample);
  /// Uniform in [0, 1), of 53 bits.
  double number();

 private:
  std::mt19937_64 engine_;
};

/// The place of a number, drawn in proportion to `weights`. std::invalid_argument where they do not
/// have a positive, finite sum.
std::size_t draw_index(std::span<const double> weights, RandomStream& random);

/// A token of the readout's `distribution` or `top`, to which TokenRules were applied, and its
/// log-probability. `token` is -1 where no token may follow.
TopToken draw_token(const Readout& readout, const SamplingOptions& options, RandomStream& random);

}  // namespace btm
