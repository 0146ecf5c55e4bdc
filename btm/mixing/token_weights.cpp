#include "btm/mixing/token_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "btm/model/row_softmax.h"

namespace btm {
namespace {

/// Weights that are summed at once, so that a drawn number is first looked for among the sums.
constexpr std::size_t kBlock = 256;
/// exp_of_difference() gives 1e-38 for all that is further down, -inf included.
constexpr float kNone = 1e-37F;
/// Leaves the exponent and 4 bits of a positive float, which are in the order of its value.
constexpr int kBinShift = 19;

std::uint32_t bin_of(float weight) { return std::bit_cast<std::uint32_t>(weight) >> kBinShift; }

/// In eight sums, which the compiler adds side by side.
double sum_of(std::span<const float> weights) {
  constexpr std::size_t kLanes = 8;
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= weights.size(); i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += static_cast<double>(weights[i + lane]);
  for (; i < weights.size(); ++i) sums[0] += static_cast<double>(weights[i]);
  for (std::size_t lane = 1; lane < kLanes; ++lane) sums[0] += sums[lane];
  return sums[0];
}

/// The place at which the sum of `weights` passes `left`, or the last one with a weight where
/// rounding has passed the sum. `left` becomes what is left of it there.
template <class Weight>
std::size_t place_of(std::span<const Weight> weights, double& left) {
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    last = i;
    if (left < static_cast<double>(weights[i])) break;
    left -= static_cast<double>(weights[i]);
  }
  return last;
}

/// The weights of one bin, and how much is missing before them.
struct LastBin {
  std::uint32_t bin = 0;
  double missing = 0;
};

/// The bin in which the largest weights come to sum to `wanted`, which is below the sum of all.
LastBin last_bin(std::span<const float> weights, double wanted) {
  std::vector<double> bins(bin_of(1) + 1);
  for (const float weight : weights) bins[bin_of(weight)] += static_cast<double>(weight);
  auto bin = static_cast<std::uint32_t>(bins.size() - 1);
  while (bin > 0 && bins[bin] < wanted) wanted -= bins[bin--];
  return {bin, wanted};
}

/// A negative weight, so that the largest come first, and its token.
using Weighed = std::pair<float, std::size_t>;

/// The last of the first tokens that sum to `wanted`. Halves the tokens that it can be instead of
/// sorting them.
Weighed last_kept(std::span<Weighed> tokens, double wanted) {
  while (tokens.size() > 1) {
    const auto half = tokens.begin() + std::ssize(tokens) / 2;
    std::ranges::nth_element(tokens, half);
    double sum = 0;
    for (auto token = tokens.begin(); token != half; ++token)
      sum -= static_cast<double>(token->first);
    if (sum >= wanted) {
      tokens = {tokens.begin(), half};
    } else {
      tokens = {half, tokens.end()};
      wanted -= sum;
    }
  }
  return tokens.front();
}

}  // namespace

TokenWeights::TokenWeights(std::span<const float> log_probs)
    : weights_(log_probs.begin(), log_probs.end()) {
  const float largest = largest_of(log_probs.data(), std::ssize(log_probs));
  if (!std::isfinite(largest)) return;
  largest_ = largest;
  exp_of_difference(weights_.data(), std::ssize(weights_), largest, 1);
  sum_up();
}

void TokenWeights::sum_up() {
  sums_.clear();
  total_ = 0;
  for (std::size_t i = 0; i < weights_.size(); i += kBlock) {
    const std::span block = std::span(weights_).subspan(i, std::min(kBlock, weights_.size() - i));
    for (float& weight : block) weight = weight < kNone ? 0 : weight;  // keeps NaN
    total_ += sums_.emplace_back(sum_of(block));
  }
}

void TokenWeights::keep_most_probable(double share) {
  const double wanted = share * std::exp(-largest_);  // in the unit of weights
  if (empty() || wanted >= total_) return;
  const auto [bin, missing] = last_bin(weights_, wanted);
  std::vector<Weighed> bin_tokens;
  for (std::size_t i = 0; i < weights_.size(); ++i)
    if (bin_of(weights_[i]) == bin) bin_tokens.emplace_back(-weights_[i], i);
  if (bin_tokens.empty()) return;  // rounding has passed the sum
  const auto [negative, among_equals] = last_kept(bin_tokens, missing);
  const float smallest = -negative;
  for (std::size_t i = 0; i < weights_.size(); ++i)
    if (weights_[i] < smallest || (weights_[i] == smallest && i > among_equals)) weights_[i] = 0;
  sum_up();
}

std::size_t TokenWeights::draw(double number) const {
  double left = number * total_;
  const std::size_t block = place_of<double>(sums_, left);
  const std::span<const float> weights = std::span(weights_).subspan(block * kBlock);
  return block * kBlock + place_of(weights.first(std::min(kBlock, weights.size())), left);
}

}  // namespace btm
