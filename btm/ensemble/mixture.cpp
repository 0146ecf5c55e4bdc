#include "btm/ensemble/mixture.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "compat/base/error.h"

namespace btm {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr double kSumTolerance = 1e-3;  ///< Priors are printed with a few digits.

double log_sum_exp(std::span<const double> logs) {
  const double highest = *std::ranges::max_element(logs);
  if (!(highest > kNothing)) return kNothing;
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - highest);
  return highest + std::log(sum);
}

/// The weights of one block, target after target.
class Weights {
 public:
  Weights(std::size_t experts, const std::vector<bool>& absent, LogPrior prior, PosteriorRule rule)
      : experts_(experts),
        prior_(prior),
        rule_(rule),
        seen_(experts, 0.0),
        logs_(experts),
        start_(experts,
               -std::log(static_cast<double>(
                   experts - static_cast<std::size_t>(std::ranges::count(absent, true))))) {
    for (std::size_t e = 0; e < absent.size(); ++e)
      if (absent[e]) start_[e] = kNothing;
  }

  /// Logs of w(t), normalised; from the end of the block on with the last prior there is.
  std::span<const double> at(std::size_t t) {
    if (prior_.empty() || (t == 0 && rule_ == PosteriorRule::kLast)) {
      return start_;
    }
    const LogPrior prior =
        prior_.subspan(std::min(t * experts_, prior_.size() - experts_), experts_);
    for (std::size_t e = 0; e < experts_; ++e)
      logs_[e] = prior[e] == kNothing ? kNothing : prior[e] + seen_[e];
    double total = log_sum_exp(logs_);
    if (total == kNothing) {  // every expert that has a prior ruled out what was seen: nothing was
                              // learnt from it
      std::ranges::copy(prior, logs_.begin());
      total = log_sum_exp(logs_);
    }
    for (double& value : logs_) value -= total;
    return logs_;
  }

  void see(std::size_t expert, double log_prob) {
    if (rule_ == PosteriorRule::kFull) seen_[expert] += log_prob;
    if (rule_ == PosteriorRule::kLast) seen_[expert] = log_prob;
  }
  void see_last(std::size_t expert, double log_prob) {
    if (rule_ == PosteriorRule::kLast) seen_[expert] = log_prob;
  }

 private:
  std::size_t experts_;
  LogPrior prior_;
  PosteriorRule rule_;
  std::vector<double> seen_, logs_, start_;
};

/// The score of a target that was asked for.
float computed(float score, std::size_t expert, std::size_t target) {
  if (!std::isnan(score)) return score;
  throw std::runtime_error("expert " + std::to_string(expert + 1) +
                           " of the ensemble: no score was computed for target " +
                           std::to_string(target + 1) + " of a block");
}

}  // namespace

PosteriorRule parse_posterior_rule(std::string_view name) {
  constexpr std::array<std::string_view, 3> kNames{"last", "full", "none"};
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end())
    throw compat::UsageError("--posterior '" + compat::printable(name) +
                             "', expected last, full or none");
  return static_cast<PosteriorRule>(found - kNames.begin());
}

std::vector<std::size_t> experts_with_weight(LogPrior log_prior, std::size_t experts) {
  std::vector<std::size_t> found;
  for (std::size_t e = 0; e < experts; ++e)
    for (std::size_t at = e; at < log_prior.size(); at += experts)
      if (log_prior[at] > kNothing) {
        found.push_back(e);
        break;
      }
  return found;
}

MixedBlock mix_block(const BlockScores& block, LogPrior log_prior, PosteriorRule rule) {
  const std::size_t experts = block.targets.size(), length = block.targets.front().size();
  MixedBlock mixed;
  mixed.log_probs.resize(length);
  mixed.posterior.assign(experts, 0.0);
  Weights weights(experts, block.absent, log_prior, rule);
  const auto runs = [&](std::size_t e) { return block.absent.empty() || !block.absent[e]; };
  std::vector<double> terms(experts);
  for (std::size_t t = 0; t < length; ++t) {
    const std::span<const double> logs = weights.at(t);
    for (std::size_t e = 0; e < experts; ++e) {
      terms[e] = logs[e] == kNothing ? kNothing : logs[e] + computed(block.targets[e][t], e, t);
      if (rule == PosteriorRule::kNone)
        mixed.posterior[e] += std::exp(logs[e]) / static_cast<double>(length);
    }
    mixed.log_probs[t] = log_sum_exp(terms);
    for (std::size_t e = 0; e < experts; ++e)
      if (runs(e)) weights.see(e, computed(block.targets[e][t], e, t));
  }
  if (rule == PosteriorRule::kNone && length > 0) return mixed;
  for (std::size_t e = 0; e < block.before_last.size(); ++e)
    if (runs(e)) weights.see_last(e, block.before_last[e]);
  std::ranges::transform(
      weights.at(block.before_last.empty() && rule == PosteriorRule::kLast ? 0 : length),
      mixed.posterior.begin(), [](double log) { return std::exp(log); });
  return mixed;
}

std::vector<double> log_of(std::span<const double> prior) {
  std::vector<double> logs(prior.begin(), prior.end());
  for (double& value : logs) value = std::log(value);
  return logs;
}

void ExponentialMean::add(std::span<const double> values) {
  if (mean_.empty()) {
    mean_.assign(values.begin(), values.end());
    return;
  }
  for (std::size_t i = 0; i < mean_.size(); ++i)
    mean_[i] = alpha_ * values[i] + (1 - alpha_) * mean_[i];
}

std::vector<double> top_k_prior(std::vector<double> prior, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(prior.size())) return prior;
  std::vector<std::size_t> order(prior.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return prior[i]; });
  for (std::size_t i = 0; i + static_cast<std::size_t>(k) < order.size(); ++i) prior[order[i]] = 0;
  const double sum = std::accumulate(prior.begin(), prior.end(), 0.0);
  for (double& value : prior) value /= sum;
  return prior;
}

std::vector<double> parse_prior(std::string_view text, std::size_t experts) {
  const auto refuse = [&](const std::string& problem) {
    throw compat::UsageError("--precomputed-prior '" + compat::printable(text) + "': " + problem);
  };
  std::vector<double> prior;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string_view part = text.substr(from, comma - from);
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || !std::isfinite(value) ||
        value < 0)
      refuse("'" + compat::printable(part) + "', expected a probability");
    prior.push_back(value);
    from = comma + 1;
  }
  if (prior.size() != experts)
    refuse(std::to_string(prior.size()) + " probabilities for " + std::to_string(experts) +
           " experts");
  const double sum = std::accumulate(prior.begin(), prior.end(), 0.0);
  if (std::abs(sum - 1) > kSumTolerance)
    refuse("the sum is " + std::to_string(sum) + ", expected 1");
  return prior;
}

}  // namespace btm
