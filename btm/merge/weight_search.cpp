#include "btm/merge/weight_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

namespace btm {
namespace {

using Logits = std::vector<std::vector<double>>;  ///< [G][N]

std::vector<double> softmax(const std::vector<double>& logits) {
  const double largest = *std::ranges::max_element(logits);
  std::vector<double> weights;
  for (const double logit : logits) weights.push_back(std::exp(logit - largest));
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<double> logits_of(const std::vector<double>& weights) {
  constexpr double kLeast = 1e-4;
  std::vector<double> logits;
  for (const double weight : weights) logits.push_back(std::log(std::max(weight, kLeast)));
  return logits;
}

class Search {
 public:
  Search(const WeightSearchOptions& options,
         const std::function<double(const GroupWeights&)>& evaluate)
      : options_(options), evaluate_(evaluate), random_(options.seed) {}

  bool spent(std::size_t budget) const { return result_.trials.size() >= budget; }

  /// Evaluates; keeps the logits where they are the best so far.
  bool try_logits(const Logits& logits) {
    GroupWeights weights;
    for (const std::vector<double>& group : logits) weights.push_back(softmax(group));
    const double loss = evaluate_(weights);
    if (!std::isfinite(loss)) throw std::runtime_error("the loss of an average is not finite");
    const bool better = result_.trials.empty() || loss < result_.trials[result_.best].loss;
    if (better) {
      result_.best = result_.trials.size();
      logits_ = logits;
    }
    result_.trials.push_back({std::move(weights), loss, better});
    return better;
  }

  /// Moves logits until their steps are short or `budget` evaluations are made. With `together`,
  /// the same logit of all groups. Returns whether the steps ended it.
  bool descend(bool together, std::size_t budget) {
    const std::size_t models = logits_.front().size();
    const std::size_t axes = together ? models : models * logits_.size();
    std::vector<double> steps(axes, options_.first_step);
    std::vector<std::size_t> order(axes);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (;;) {
      shuffle(order);
      bool all_short = true;
      for (const std::size_t axis : order) {
        if (std::abs(steps[axis]) < options_.shortest_step) continue;
        all_short = false;
        if (spent(budget)) return false;
        Logits logits = logits_;
        if (together)
          for (std::vector<double>& group : logits) group[axis] += steps[axis];
        else
          logits[axis / models][axis % models] += steps[axis];
        steps[axis] *= try_logits(logits) ? 2 : -0.5;
      }
      if (all_short) return true;
    }
  }

  WeightSearch run(const std::vector<std::vector<double>>& starts) {
    for (const std::vector<double>& start : starts)
      if (!spent(options_.evaluations)) try_logits(Logits(options_.groups, logits_of(start)));
    const bool groups = options_.groups > 1;
    const std::size_t budget = groups ? options_.evaluations / 2 : options_.evaluations;
    result_.converged = descend(/*together=*/true, budget);
    if (groups) result_.converged = descend(/*together=*/false, options_.evaluations);
    return std::move(result_);
  }

 private:
  /// std::shuffle differs between standard libraries; this does not.
  void shuffle(std::vector<std::size_t>& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_() % i]);
  }

  const WeightSearchOptions& options_;
  const std::function<double(const GroupWeights&)>& evaluate_;
  std::mt19937_64 random_;
  Logits logits_;  ///< Of the best trial.
  WeightSearch result_;
};

}  // namespace

WeightSearch search_weights(const std::vector<std::vector<double>>& starts,
                            const WeightSearchOptions& options,
                            const std::function<double(const GroupWeights&)>& evaluate) {
  if (starts.empty() || options.evaluations == 0 || options.groups == 0)
    throw std::invalid_argument("a search needs a start, a group and an evaluation");
  for (const std::vector<double>& start : starts)
    if (start.empty() || start.size() != starts.front().size() ||
        !std::ranges::all_of(start, [](double weight) { return weight >= 0; }))
      throw std::invalid_argument("a start needs a weight of 0 or more for each model");
  return Search(options, evaluate).run(starts);
}

}  // namespace btm
