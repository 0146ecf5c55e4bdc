#include "btm/ensemble/tune_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace btm {

void TokenScores::add(std::span<const float> log_p) {
  if (log_p.size() != experts_) throw std::invalid_argument("a score for each expert is expected");
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  float largest = kNothing;
  for (const float value : log_p) {
    if (std::isnan(value) || value == -kNothing)
      throw std::runtime_error("a log-probability is NaN or +inf");
    largest = std::max(largest, value);
  }
  if (largest == kNothing) throw std::runtime_error("a token has probability 0 under every expert");
  for (std::size_t e = 0; e < experts_; ++e) {
    relative_.push_back(std::exp(log_p[e] - largest));
    sums_[e] += log_p[e];
  }
  largest_ += largest;
}

double TokenScores::expert_loss(std::size_t e) const {
  return -sums_.at(e) / static_cast<double>(tokens());
}

double TokenScores::loss(std::span<const double> weights) const {
  double sum = 0;
  for (std::size_t t = 0; t < tokens(); ++t) {
    const auto p = relative(t);
    sum += std::log(std::inner_product(p.begin(), p.end(), weights.begin(), 0.0));
  }
  return -(largest_ + sum) / static_cast<double>(tokens());
}

double TokenScores::loss(std::span<const double> weights, std::vector<double>& gains) const {
  gains.assign(experts_, 0);
  double sum = 0;
  for (std::size_t t = 0; t < tokens(); ++t) {
    const auto p = relative(t);
    const double mixed = std::inner_product(p.begin(), p.end(), weights.begin(), 0.0);
    sum += std::log(mixed);
    for (std::size_t e = 0; e < experts_; ++e) gains[e] += p[e] / mixed;
  }
  for (double& gain : gains) gain /= static_cast<double>(tokens());
  return -(largest_ + sum) / static_cast<double>(tokens());
}

TunedWeights tune_weights(const TokenScores& scores, std::vector<double> start,
                          const TuneOptions& options) {
  if (scores.tokens() == 0) throw std::invalid_argument("there are no tokens to tune weights on");
  if (start.size() != scores.experts())
    throw std::invalid_argument("a weight for each expert is expected");
  TunedWeights tuned;
  std::vector<double> weights = std::move(start), gains;
  for (std::int64_t step = 0, next_kept = 0;; ++step) {
    const double loss = scores.loss(weights, gains);
    if (!std::isfinite(loss))
      throw std::invalid_argument("a token has probability 0 with the weights to start from");
    const double bound = std::log(std::max(1.0, *std::ranges::max_element(gains)));
    tuned.converged = bound <= options.tolerance;
    const bool last = tuned.converged || step == options.max_steps;
    if (last || step >= next_kept) {
      tuned.trace.push_back({step, loss, bound, weights});
      constexpr std::int64_t kAllOfFirst = 20, kOneIn = 5;
      next_kept = step < kAllOfFirst ? step + 1 : step + step / kOneIn;
    }
    if (last) return tuned;
    double sum = 0;
    for (std::size_t e = 0; e < weights.size(); ++e) sum += weights[e] *= gains[e];
    for (double& weight : weights) weight /= sum;  // 1 but for rounding
  }
}

}  // namespace btm
