#include "btm/mixing/prior.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr double kSumTolerance = 1e-3;  ///< Priors are copied from reports, with few digits.

std::vector<double> uniform_weights(std::size_t experts) {
  return std::vector<double>(experts, 1.0 / static_cast<double>(experts));
}

}  // namespace

std::vector<double> log_of(std::span<const double> weights) {
  std::vector<double> logs(weights.begin(), weights.end());
  for (double& value : logs) value = std::log(value);
  return logs;
}

std::vector<double> top_k_prior(std::vector<double> weights, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(weights.size())) return weights;
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return weights[i]; });
  for (std::size_t i = 0; i + static_cast<std::size_t>(k) < order.size(); ++i)
    weights[order[i]] = 0;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& value : weights) value /= sum;
  return weights;
}

std::vector<double> parse_prior(std::string_view text, std::size_t experts) {
  const auto refuse = [&](const std::string& problem) {
    throw compat::UsageError("--precomputed-prior '" + compat::printable(text) + "': " + problem);
  };
  std::vector<double> prior;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string_view part = text.substr(from, comma - from);
    const auto value = compat::number_of<double>(part);
    if (!value || !std::isfinite(*value) || *value < 0)
      refuse("'" + compat::printable(part) + "', expected a probability");
    else
      prior.push_back(*value);
    from = comma + 1;
  }
  if (prior.size() != experts)
    refuse(compat::concat(prior.size(), " probabilities for ", experts, " experts"));
  const double sum = std::accumulate(prior.begin(), prior.end(), 0.0);
  if (std::abs(sum - 1) > kSumTolerance)
    refuse(compat::concat("the sum is ", compat::general(sum), ", expected 1"));
  return prior;
}

void ExponentialMean::add(std::span<const double> values) {
  if (mean_.empty()) {
    mean_.assign(values.begin(), values.end());
    return;
  }
  for (std::size_t i = 0; i < mean_.size(); ++i)
    mean_[i] = alpha_ * values[i] + (1 - alpha_) * mean_[i];
}

Prior::Prior(std::vector<double> weights)
    : weights_(std::move(weights)), takes_part_(weights_.size(), true) {
  if (weights_.empty()) throw std::invalid_argument("a mixture has at least one expert");
}

Prior Prior::given(std::vector<double> weights) { return Prior(std::move(weights)); }

Prior Prior::uniform(std::size_t experts) { return Prior(uniform_weights(experts)); }

Prior Prior::updating(std::size_t experts) {
  Prior prior = uniform(experts);
  prior.updating_ = true;
  return prior;
}

Prior Prior::of_text(std::shared_ptr<const TextPrior> text) {
  Prior prior = uniform(text->experts());
  prior.text_ = std::move(text);
  return prior;
}

Prior Prior::of_type(EnsembleType type, std::size_t experts, std::vector<double> weights) {
  switch (type) {
    case EnsembleType::kCachedPrior:
      return given(std::move(weights));
    case EnsembleType::kUpdatingPrior:
      return updating(experts);
    case EnsembleType::kUniformPrior:
    case EnsembleType::kSimpleAverage:
    case EnsembleType::kBayes:
      return uniform(experts);
    case EnsembleType::kClusterPrior:
    case EnsembleType::kClustering:
    case EnsembleType::kProductOfExperts:
      break;
  }
  throw std::invalid_argument("a cluster prior is that of a text");
}

void Prior::update(std::span<const double> posterior) {
  mean_.add(posterior);
  if (updating_) weights_ = mean_.value();
}

std::vector<std::size_t> Prior::active() const {
  std::vector<std::size_t> active;
  for (std::size_t e = 0; e < experts(); ++e)
    if (takes_part_[e]) active.push_back(e);
  return active;
}

void Prior::leave_out(std::span<const std::size_t> experts) {
  if (experts.empty()) return;
  remove_weights(weights_, experts);
  for (const std::size_t e : experts) exclude(e);
}

void remove_weights(std::vector<double>& weights, std::span<const std::size_t> experts) {
  for (const std::size_t e : experts) weights.at(e) = 0;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!(sum > 0))
    throw std::runtime_error("every expert that has a weight diverged: there is no ensemble");
  for (double& weight : weights) weight /= sum;
}

}  // namespace btm
