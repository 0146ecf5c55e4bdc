// The mixture's formula: the probability that several experts together give a token, and the weight
// of each of them.
//
//   p(x_t | x_<t) = sum_e w_e(t) p_e(x_t | x_<t)
//   w_e(t)        = prior_e(t) s_e(t) / sum_f prior_f(t) s_f(t)
//
//   s_e(t), the evidence for expert e so far, depends on the PosteriorRule:
//     kFull   p_e(x_0) p_e(x_1 | x_0) ... p_e(x_{t-1} | x_<t-1)    Bayes' rule
//     kLast   p_e(x_{t-1} | x_<t-1), the previous token alone; w_e(0) = 1/E whatever the prior
//     kNone   1
//   prior_e(t) is the same for all tokens of a text, or depends on the text before the token
//   (TextPrior).
//
// Sources. kFull: Branch-Train-Merge (Li et al. 2022, arXiv:2208.03306), section 2.2, which takes
// it from DEMix layers (Gururangan et al. 2021, arXiv:2108.05036). kLast: what the release's
// ensemble_eval_lm.py computes instead. kNone with a prior of the text: cluster-BTM (Gururangan et
// al. 2023, arXiv:2303.14177), formula (4).
//
// Where s_e(t) is 0 for every expert with a prior above 0, w_e(t) is the prior. Where a prior of
// the text is 0 for every expert that runs, it is the same for each of them instead. All numbers
// are natural logs, so that nothing underflows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "btm/mixing/ensemble_type.h"
#include "btm/mixing/prior.h"

namespace btm {

/// log sum exp(logs); -inf for logs that are all -inf.
double log_sum_exp(std::span<const double> logs);

/// The weights of E experts along texts. Each text has a state of its own:
///
///   Posterior::State state = posterior.start();
///   for each token:
///     log_p = log-probability of the token under each expert
///     total += posterior.log_prob(state, log_p);
///     posterior.observe(state, log_p);
///     posterior.read(state, token);
class Posterior {
 public:
  /// A place in a text. It is a value: a copy goes on independently. Its size does not grow with
  /// the text. It refers to the posterior's TextPrior, if there is one.
  class State {
   public:
    State(const State& other);
    State& operator=(const State& other);
    State(State&&) noexcept = default;
    State& operator=(State&&) noexcept = default;
    ~State() = default;

   private:
    friend class Posterior;
    State() = default;
    std::vector<double> log_prior_;  ///< [E]; empty where the text gives the prior.
    std::vector<double> seen_;       ///< [E] log s_e.
    std::vector<bool> runs_;         ///< [E] whether the expert runs on this text.
    std::int64_t observed_ = 0;      ///< Tokens.
    std::unique_ptr<TextPrior::Reader> text_;
  };

  /// `top_k`: the weights of each token but the K largest are 0, and these sum to 1; 0: all stay.
  Posterior(Prior prior, PosteriorRule rule, std::int64_t top_k = 0,
            Combination combination = Combination::kMean)
      : prior_(std::move(prior)), rule_(rule), top_k_(top_k), combination_(combination) {}

  std::size_t experts() const noexcept { return prior_.experts(); }
  PosteriorRule rule() const noexcept { return rule_; }
  std::int64_t top_k() const noexcept { return top_k_; }
  Combination combination() const noexcept { return combination_; }
  /// A change of the prior affects the texts that start after it.
  Prior& prior() noexcept { return prior_; }
  const Prior& prior() const noexcept { return prior_; }

  /// The beginning of a text. `runs` [E] says which experts run on it. The others have no weight in
  /// it, not even at its start. When it is empty, all experts run that take part in the prior.
  State start(const std::vector<bool>& runs = {}) const;

  /// Appends a token to the text on which a TextPrior depends. The token need not have been scored:
  /// it may belong to a prompt or a context.
  void read(State& state, std::int64_t token) const;

  /// [E] the prior's logs for the next token, -inf for experts that do not run.
  std::vector<double> log_prior(const State& state) const;
  /// [E] the logs of the weights for the next token. Their exponentials sum to 1.
  /// std::runtime_error where no expert has a prior.
  std::vector<double> log_weights(const State& state) const;

  /// The experts, ascending, whose score of the next token log_prob() and observe() read. A sparse
  /// mixture runs no others. With kNone these are the experts with a weight. With kLast and kFull
  /// they are all experts that run on the text, because the prior of an expert may rise from 0.
  std::vector<std::size_t> wanted(const State& state) const;

  /// The log-probability of a token under the experts' mean (Combination::kMean), whatever
  /// combination() is: a product needs whole distributions. `log_p` [E] are those of the experts.
  /// Scores of
  /// experts that are not wanted() are not read. std::runtime_error for a score of NaN or +inf.
  double log_prob(const State& state, std::span<const float> log_p) const;
  /// The same with a known log_weights(state).
  double log_prob(const State& state, std::span<const double> log_weights,
                  std::span<const float> log_p) const;

  /// Updates the evidence with the experts' scores of a token. `log_p` and errors as in log_prob().
  void observe(State& state, std::span<const float> log_p) const;

 private:
  std::vector<double> log_start(const State& state) const;
  std::vector<double> all_log_weights(const State& state) const;

  Prior prior_;
  PosteriorRule rule_;
  std::int64_t top_k_;
  Combination combination_;
};

}  // namespace btm
