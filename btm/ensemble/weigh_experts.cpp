#include "btm/ensemble/weigh_experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "btm/mixing/posterior.h"

namespace btm {
namespace {

/// 1, 2, 5, 10, 20, ... below `documents`, and that number.
std::vector<std::int64_t> sizes_up_to(std::int64_t documents) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t unit = 1; unit < documents; unit *= 10)
    for (const std::int64_t times : {1, 2, 5})
      if (unit * times < documents) sizes.push_back(unit * times);
  sizes.push_back(documents);
  return sizes;
}

/// The intervals of the mean of `size` documents that are drawn with replacement.
std::vector<Interval> intervals_of(const std::vector<std::vector<double>>& posteriors,
                                   std::int64_t size, const WeighOptions& options) {
  const std::size_t experts = posteriors.front().size();
  std::mt19937_64 random(static_cast<std::uint64_t>(options.seed));
  std::vector<std::vector<double>> means(experts);
  for (std::int64_t draw = 0; draw < options.resamples; ++draw) {
    std::vector<double> sum(experts, 0.0);
    for (std::int64_t i = 0; i < size; ++i) {
      const auto& drawn = posteriors[static_cast<std::size_t>(random() % posteriors.size())];
      for (std::size_t e = 0; e < experts; ++e) sum[e] += drawn[e];
    }
    for (std::size_t e = 0; e < experts; ++e)
      means[e].push_back(sum[e] / static_cast<double>(size));
  }
  std::vector<Interval> intervals;
  for (std::vector<double>& values : means)
    intervals.push_back(percentile_interval(std::move(values)));
  return intervals;
}

/// The perplexity of all texts under a mixture with this prior.
double perplexity_of(std::span<const TextScore> scores, const std::vector<double>& weights,
                     PosteriorRule rule) {
  Prior prior = Prior::given(weights);
  for (std::size_t e = 0; e < weights.size(); ++e)
    if (!(weights[e] > 0)) prior.exclude(e);
  const Posterior posterior(std::move(prior), rule);
  double total = 0;
  std::int64_t tokens = 0;
  for (const TextScore& score : scores) {
    Posterior::State state = posterior.start();
    for (const std::vector<float>& log_p : score.expert_log_probs) {
      total += posterior.log_prob(state, log_p);
      posterior.observe(state, log_p);
      ++tokens;
    }
  }
  return std::exp(-total / static_cast<double>(tokens));
}

std::vector<double> expert_perplexities(std::span<const TextScore> scores, std::int64_t tokens) {
  std::vector<double> sums(scores.front().expert_log_probs.front().size(), 0.0);
  for (const TextScore& score : scores)
    for (const std::vector<float>& log_p : score.expert_log_probs)
      for (std::size_t e = 0; e < sums.size(); ++e) sums[e] += log_p[e];
  for (double& sum : sums) sum = std::exp(-sum / static_cast<double>(tokens));
  return sums;
}

void add_mixtures(std::span<const TextScore> scores, const WeighOptions& options,
                  Weighing& result) {
  std::vector<std::size_t> order(result.posterior.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](std::size_t e) { return result.posterior[e]; });
  std::vector<double> weights(order.size(), 0.0);
  for (std::size_t k = 0; k < order.size(); ++k) {
    weights[order[k]] = result.posterior[order[k]];
    result.mixtures.push_back({{order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k) + 1},
                               perplexity_of(scores, weights, options.rule)});
  }
  const double all = result.mixtures.back().perplexity;
  for (Weighing::Mixture& mixture : result.mixtures) mixture.lost = mixture.perplexity / all - 1;
  result.keep =
      1 + static_cast<std::size_t>(std::ranges::find_if(result.mixtures,
                                                        [&](const Weighing::Mixture& mixture) {
                                                          return mixture.lost <= options.tolerance;
                                                        }) -
                                   result.mixtures.begin());
}

}  // namespace

Weighing weigh_experts(std::span<const TextScore> scores, const WeighOptions& options) {
  if (scores.empty() || scores.front().expert_log_probs.empty() ||
      scores.front().expert_log_probs.front().size() < 2)
    throw std::invalid_argument("weighing needs a document and two experts");
  Weighing result;
  std::vector<std::vector<double>> posteriors;
  for (const TextScore& score : scores) {
    posteriors.push_back(evidence_of(score));
    result.tokens += std::ssize(score.log_probs);
  }
  result.documents = std::ssize(scores);
  result.posterior.assign(posteriors.front().size(), 0.0);
  for (const std::vector<double>& one : posteriors)
    for (std::size_t e = 0; e < one.size(); ++e)
      result.posterior[e] += one[e] / static_cast<double>(result.documents);
  result.perplexity = expert_perplexities(scores, result.tokens);
  for (const std::int64_t size : sizes_up_to(result.documents))
    result.growth.push_back({size, intervals_of(posteriors, size, options)});
  add_mixtures(scores, options, result);
  return result;
}

}  // namespace btm
