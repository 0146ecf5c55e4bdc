// The fixed weights of a mixture that minimise its loss on given tokens. T tokens, E experts. This
// file needs no LibTorch.
//
//   loss(w) = -1/T sum_t log sum_e w_e p_e(t),   w_e >= 0,   sum_e w_e = 1
//
// The loss is convex. With g_e = 1/T sum_t p_e(t) / sum_f w_f p_f(t), a step of expectation
// maximisation (Dempster, Laird and Rubin 1977) is w_e <- w_e g_e, which never raises it. No
// weights have a loss below loss(w) - log max_e g_e: by concavity of the log, loss(w) - loss(v) is
// at most log sum_e v_e g_e for any v. The search ends when that bound is small enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// What the experts give to each token.
class TokenScores {
 public:
  explicit TokenScores(std::size_t experts) : experts_(experts), sums_(experts) {}

  /// Adds a token. `log_p` [E] natural logs; -inf for an expert that does not take part.
  /// std::runtime_error for NaN and +inf, and for a token of probability 0 under all experts.
  void add(std::span<const float> log_p);

  std::size_t experts() const noexcept { return experts_; }
  std::size_t tokens() const noexcept { return experts_ == 0 ? 0 : relative_.size() / experts_; }
  /// [E] the probabilities of token `t`, each divided by the largest of them.
  std::span<const float> relative(std::size_t t) const {
    return std::span(relative_).subspan(t * experts_, experts_);
  }

  /// The loss of fixed weights [E], in nats per token; infinite where a token gets probability 0.
  double loss(std::span<const double> weights) const;
  double expert_loss(std::size_t e) const;  ///< Of one expert alone.
  /// The loss of `weights`, and [E] the g_e of above.
  double loss(std::span<const double> weights, std::vector<double>& gains) const;

 private:
  std::size_t experts_;
  std::vector<float> relative_;
  std::vector<double> sums_;  ///< [E] of each expert's log-probabilities.
  double largest_ = 0;        ///< The sum over the tokens of their largest log-probability.
};

struct TuneOptions {
  double tolerance = 1e-6;  ///< Nats per token that better weights might still gain.
  std::int64_t max_steps = 10'000;
};

struct TunedWeights {
  struct Step {
    std::int64_t step = 0;  ///< 0: the start
    double loss = 0;        ///< Nats per token.
    double bound = 0;       ///< No weights have a loss below loss - bound.
    std::vector<double> weights;
  };
  std::vector<Step>
      trace;               ///< All of the first steps, then ever fewer; the last one is the result.
  bool converged = false;  ///< The last bound is within the tolerance.

  const std::vector<double>& weights() const { return trace.back().weights; }
};

/// Searches from `start` [E]. A weight of 0 stays 0. std::invalid_argument for no tokens, and for a
/// start that does not fit or under which a token has probability 0.
TunedWeights tune_weights(const TokenScores& scores, std::vector<double> start,
                          const TuneOptions& options = {});

}  // namespace btm
