// Draws a token from a distribution over the whole dictionary. V symbols of the dictionary.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace btm {

/// Weights of all tokens, in proportion to their probabilities.
class TokenWeights {
 public:
  /// `log_probs` [V], whose sum of probabilities need not be 1. A token of -inf, or one that is
  /// e^85 times less probable than the best, has no weight.
  explicit TokenWeights(std::span<const float> log_probs);

  /// Whether no token has a weight: all are -inf, or one is NaN or +inf.
  bool empty() const noexcept { return !(total_ > 0); }
  /// Takes their weights from all tokens but the fewest whose probabilities sum to `share` or more:
  /// the most probable ones, among equals those of smaller ids.
  void keep_most_probable(double share);
  /// The token for a number that is uniform in [0, 1). Not for empty() weights.
  std::size_t draw(double number) const;

 private:
  void sum_up();

  double largest_ = 0;          ///< The largest log-probability: that of weight 1.
  std::vector<float> weights_;  ///< [V]
  std::vector<double> sums_;    ///< Of blocks of weights.
  double total_ = 0;
};

}  // namespace btm
