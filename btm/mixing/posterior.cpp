#include "btm/mixing/posterior.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

/// A score that is read. std::runtime_error for NaN and +inf.
double checked_score(float log_p, std::size_t expert, std::int64_t token) {
  if (log_p < std::numeric_limits<float>::infinity()) return log_p;  // not NaN either
  throw std::runtime_error(compat::concat("expert ", expert + 1,
                                          " of the ensemble: no score was computed for token ",
                                          token + 1, " of a text"));
}

[[noreturn]] void refuse_no_weight(std::int64_t token) {
  throw std::runtime_error(
      compat::concat("no expert of the ensemble has a weight at token ", token + 1, " of a text"));
}

}  // namespace

double log_sum_exp(std::span<const double> logs) {
  const double highest = *std::ranges::max_element(logs);
  if (!(highest > kNothing)) return kNothing;
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - highest);
  return highest + std::log(sum);
}

Posterior::State::State(const State& other)
    : log_prior_(other.log_prior_),
      seen_(other.seen_),
      runs_(other.runs_),
      observed_(other.observed_),
      text_(other.text_ ? other.text_->clone() : nullptr) {}

Posterior::State& Posterior::State::operator=(const State& other) { return *this = State(other); }

Posterior::State Posterior::start(const std::vector<bool>& runs) const {
  State state;
  state.seen_.assign(experts(), 0.0);
  for (std::size_t e = 0; e < experts(); ++e)
    state.runs_.push_back(prior_.takes_part(e) && (runs.empty() || runs.at(e)));
  if (prior_.text() != nullptr)
    state.text_ = prior_.text()->open();
  else
    state.log_prior_ = log_of(prior_.weights());
  return state;
}

void Posterior::read(State& state, std::int64_t token) const {
  if (state.text_) state.text_->read(token);
}

std::vector<double> Posterior::log_prior(const State& state) const {
  std::vector<double> logs = state.text_ ? state.text_->log_prior() : state.log_prior_;
  for (std::size_t e = 0; e < logs.size(); ++e)
    if (!state.runs_[e]) logs[e] = kNothing;
  // A prior of the text knows nothing of the experts that a request leaves out.
  const bool runs = std::ranges::find(state.runs_, true) != state.runs_.end();
  if (state.text_ && runs && log_sum_exp(logs) == kNothing) return log_start(state);
  return logs;
}

/// Equal weights for all experts that run on the text.
std::vector<double> Posterior::log_start(const State& state) const {
  const std::ptrdiff_t count = std::ranges::count(state.runs_, true);
  if (count == 0) refuse_no_weight(state.observed_);
  std::vector<double> logs(experts(), -std::log(static_cast<double>(count)));
  for (std::size_t e = 0; e < logs.size(); ++e)
    if (!state.runs_[e]) logs[e] = kNothing;
  return logs;
}

std::vector<double> Posterior::log_weights(const State& state) const {
  std::vector<double> logs = all_log_weights(state);
  if (top_k_ <= 0 || top_k_ >= static_cast<std::int64_t>(logs.size())) return logs;
  std::vector<std::size_t> order(logs.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t e) { return logs[e]; });
  for (std::size_t i = static_cast<std::size_t>(top_k_); i < order.size(); ++i)
    logs[order[i]] = kNothing;
  const double total = log_sum_exp(logs);
  for (double& value : logs) value -= total;
  return logs;
}

std::vector<double> Posterior::all_log_weights(const State& state) const {
  if (rule_ == PosteriorRule::kLast && state.observed_ == 0) return log_start(state);
  const std::vector<double> prior = log_prior(state);
  std::vector<double> logs = prior;
  for (std::size_t e = 0; e < logs.size(); ++e)
    if (logs[e] != kNothing) logs[e] += state.seen_[e];
  double total = log_sum_exp(logs);
  if (total == kNothing) {
    logs = prior;
    total = log_sum_exp(logs);
  }
  if (total == kNothing) refuse_no_weight(state.observed_);
  for (double& value : logs) value -= total;
  return logs;
}

std::vector<std::size_t> Posterior::wanted(const State& state) const {
  std::vector<std::size_t> wanted;
  const std::vector<double> logs =
      rule_ == PosteriorRule::kNone ? log_prior(state) : std::vector<double>(experts(), 0.0);
  for (std::size_t e = 0; e < experts(); ++e)
    if (state.runs_[e] && logs[e] > kNothing) wanted.push_back(e);
  return wanted;
}

double Posterior::log_prob(const State& state, std::span<const float> log_p) const {
  return log_prob(state, log_weights(state), log_p);
}

double Posterior::log_prob(const State& state, std::span<const double> log_weights,
                           std::span<const float> log_p) const {
  std::vector<double> terms(log_weights.begin(), log_weights.end());
  for (std::size_t e = 0; e < terms.size(); ++e)
    if (terms[e] != kNothing) terms[e] += checked_score(log_p[e], e, state.observed_);
  return log_sum_exp(terms);
}

void Posterior::observe(State& state, std::span<const float> log_p) const {
  if (rule_ != PosteriorRule::kNone)
    for (std::size_t e = 0; e < experts(); ++e) {
      if (!state.runs_[e]) continue;
      const double score = checked_score(log_p[e], e, state.observed_);
      state.seen_[e] = rule_ == PosteriorRule::kFull ? state.seen_[e] + score : score;
    }
  ++state.observed_;
}

}  // namespace btm
