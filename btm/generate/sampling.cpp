#include "btm/generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "btm/generate/token_rules.h"
#include "btm/mixing/token_weights.h"

namespace btm {
namespace {

/// Draws in proportion to the probabilities. {-1, 0} where every probability is 0.
TopToken draw_from(std::span<const TopToken> tokens, RandomStream& random) {
  std::vector<double> weights;
  const auto weigh = [&](double largest) {
    weights.clear();
    double sum = 0;
    for (const TopToken& token : tokens)
      sum += weights.emplace_back(std::exp(static_cast<double>(token.log_prob) - largest));
    return sum > 0;
  };
  if (weigh(0)) return tokens[draw_index(weights, random)];
  if (tokens.empty()) return {-1, 0};
  // A forced end of sentence may be so improbable that its probability is 0 in a double.
  const double largest = std::ranges::max_element(tokens, {}, &TopToken::log_prob)->log_prob;
  if (!std::isfinite(largest) || !weigh(largest)) return {-1, 0};
  return tokens[draw_index(weights, random)];
}

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::span<const std::int64_t> prompt,
                           std::size_t sample) {
  std::vector<std::uint32_t> numbers;
  const auto add = [&](std::uint64_t value) {
    numbers.push_back(static_cast<std::uint32_t>(value));
    numbers.push_back(static_cast<std::uint32_t>(value >> 32));
  };
  add(seed);
  add(sample);
  for (const std::int64_t token : prompt) add(static_cast<std::uint64_t>(token));
  std::seed_seq sequence(numbers.begin(), numbers.end());
  engine_.seed(sequence);
}

double RandomStream::number() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

std::size_t draw_index(std::span<const double> weights, RandomStream& random) {
  double sum = 0;
  for (const double weight : weights) sum += weight;
  if (!(sum > 0) || !std::isfinite(sum))
    throw std::invalid_argument("weights to draw from: expected a positive, finite sum");
  double left = random.number() * sum;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    last = i;
    if (left < weights[i]) return i;
    left -= weights[i];
  }
  return last;  // rounding has passed the sum
}

TopToken draw_token(const Readout& readout, const SamplingOptions& options, RandomStream& random) {
  if (readout.distribution.empty()) {  // the best, or a token that is forced
    const auto size =
        options.topk > 0 ? static_cast<std::size_t>(options.topk) : readout.top.size();
    return draw_from(std::span(readout.top).first(std::min(size, readout.top.size())), random);
  }
  if (options.topp <= 0 && options.topk > 0)
    return draw_from(best_tokens(readout, options.topk), random);
  TokenWeights weights(readout.distribution);
  if (options.topp > 0) weights.keep_most_probable(options.topp);
  if (weights.empty()) return {-1, 0};
  const std::size_t token = weights.draw(random.number());
  return {static_cast<std::int64_t>(token), readout.distribution[token]};
}

}  // namespace btm
