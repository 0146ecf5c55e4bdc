// The arithmetic of an ensemble: what several experts together give a target, and how much each of
// them is believed. Plain numbers; all in natural logs, so that nothing underflows. E experts, L
// scored targets of a block.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace btm {

/// How an expert's weight follows the block's tokens.
enum class PosteriorRule : std::uint8_t {
  /// The release's: w_e(t) in proportion to prior_e p_e(t - 1), the previous target alone; w_e(0) =
  /// 1/E.
  kLast,
  /// Bayes over the block so far: w_e(t) in proportion to prior_e p_e(0) ... p_e(t - 1); w_e(0) =
  /// prior_e.
  kFull,
  /// The prior at every target, as cluster-BTM mixes.
  kNone,
};

/// --posterior: last, full or none. UsageError else.
PosteriorRule parse_posterior_rule(std::string_view name);

/// A block as the experts that take part see it.
struct BlockScores {
  std::vector<std::span<const float>> targets;  ///< [E][L] log p_e of each target
  /// [E] log p_e of the last column but one of the batch, padding or not; empty for a batch of one
  /// column. For kLast.
  std::vector<float> before_last;
  /// [E] experts that were not run on this block: they have no weight in it, not even at its start,
  /// and no score of theirs is read. Empty: all were run.
  std::vector<bool> absent = {};
};

/// [E], or [L * E] for a prior of each target: logs of weights; -inf leaves an expert out. They
/// need not sum to 1.
using LogPrior = std::span<const double>;

struct MixedBlock {
  std::vector<double> log_probs;  ///< [L]
  /// [E] weights: kLast: those of the batch's last column, padding included, as the release reports
  /// them; kFull: after the last target; kNone: the mean of the prior over the targets.
  std::vector<double> posterior;
};

/// The experts that a prior [E] or [L * E] gives a weight anywhere, ascending.
std::vector<std::size_t> experts_with_weight(LogPrior log_prior, std::size_t experts);

/// std::runtime_error for an expert that is not absent and whose score was not computed (is NaN).
MixedBlock mix_block(const BlockScores& block, LogPrior log_prior, PosteriorRule rule);

/// Logs of the weights of `prior`.
std::vector<double> log_of(std::span<const double> prior);

/// The exponentially weighted mean of all vectors added so far (pandas' ewm with adjust=False): m =
/// a x + (1 - a) m, and the first x as start.
class ExponentialMean {
 public:
  explicit ExponentialMean(double alpha = 0.3) : alpha_(alpha) {}
  void add(std::span<const double> values);
  const std::vector<double>& value() const noexcept { return mean_; }  ///< Empty before the first.

 private:
  double alpha_;
  std::vector<double> mean_;
};

/// Keeps the `k` largest of `prior` (among equal ones the later, as the release's sort has it),
/// sets the others to 0 and scales to a sum of 1. Returns it as it is when k is 0 or there are no
/// more than k.
std::vector<double> top_k_prior(std::vector<double> prior, std::int64_t k);

/// Reads --precomputed-prior, `experts` numbers joined by commas. UsageError for another count, a
/// number that is none, negative or infinite, and a sum that is not 1 (to 0.001).
std::vector<double> parse_prior(std::string_view text, std::size_t experts);

}  // namespace btm
