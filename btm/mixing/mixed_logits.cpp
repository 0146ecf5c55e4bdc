#include "btm/mixing/mixed_logits.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "btm/model/row_softmax.h"

namespace btm {
namespace {

float mixed_logit(std::span<const WeightedLogits> experts, std::size_t token) {
  constexpr double kNothing = -std::numeric_limits<double>::infinity();
  double highest = kNothing;
  for (const WeightedLogits& expert : experts)
    highest = std::max(highest, expert.logits[token] + expert.shift);
  if (highest == kNothing) return static_cast<float>(highest);
  double sum = 0;
  for (const WeightedLogits& expert : experts)
    sum += std::exp(expert.logits[token] + expert.shift - highest);
  return static_cast<float>(highest + std::log(sum));
}

/// Calls `work(v)` for every token, on all threads.
template <class Work>
void for_each_token(std::size_t tokens, Work&& work) {
  constexpr std::int64_t kTokensOfTask = 1024;
  at::parallel_for(0, static_cast<std::int64_t>(tokens), kTokensOfTask,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t v = begin; v < end; ++v) work(static_cast<std::size_t>(v));
                   });
}

/// log sum exp(scale * values), in the same order on any number of threads.
double log_sum_of(std::span<const float> values, double scale) {
  std::vector<float> scaled(values.begin(), values.end());
  for (float& value : scaled) value = static_cast<float>(value * scale);
  LogSumExp sum;
  sum.add(scaled.data(), std::ssize(scaled));
  return sum.value();
}

/// Normalises the product in `logs` [V], and scores the target. At a temperature T the logs are
/// 1/T of those that the target's score is made of.
void normalise_product(const Want& want, std::span<float> logs, Readout& readout) {
  const double total = log_sum_of(logs, 1);
  if (!std::isfinite(total)) {
    readout.fault = "the product of the experts gives no token a probability";
    return;
  }
  if (want.target) {
    const double logit = logs[static_cast<std::size_t>(*want.target)];
    readout.log_prob = want.temperature == 1
                           ? logit - total
                           : want.temperature * logit - log_sum_of(logs, want.temperature);
  }
  for (float& value : logs) value = static_cast<float>(value - total);
}

}  // namespace

void mix_logits(std::span<const WeightedLogits> experts, std::span<float> out) {
  if (experts.size() == 1) {  // -inf stays what it is
    const WeightedLogits& expert = experts.front();
    for (std::size_t v = 0; v < out.size(); ++v)
      out[v] = static_cast<float>(expert.logits[v] + expert.shift);
    return;
  }
  for_each_token(out.size(), [&](std::size_t v) { out[v] = mixed_logit(experts, v); });
}

void multiply_experts(std::span<const WeightedLogits> experts, std::span<float> out) {
  for_each_token(out.size(), [&](std::size_t v) {
    double sum = 0;
    for (const auto& [logits, shift, factor] : experts) sum += factor * logits[v] + shift;
    out[v] = static_cast<float>(sum);
  });
}

bool is_better(const TopToken& a, const TopToken& b) {
  return a.log_prob > b.log_prob || (a.log_prob == b.log_prob && a.token < b.token);
}

std::vector<TopToken> top_tokens(std::span<const float> log_probs, std::int64_t count) {
  std::vector<TopToken> best;  // a heap whose front is the worst
  const auto wanted = std::min(static_cast<std::size_t>(count), log_probs.size());
  if (wanted == 0) return best;
  for (std::size_t v = 0; v < log_probs.size(); ++v) {
    const TopToken token{static_cast<std::int64_t>(v), log_probs[v]};
    if (best.size() < wanted) {
      best.push_back(token);
      std::ranges::push_heap(best, is_better);
    } else if (token.log_prob > best.front().log_prob) {  // of equals, the earlier one stays
      std::ranges::pop_heap(best, is_better);
      best.back() = token;
      std::ranges::push_heap(best, is_better);
    }
  }
  std::ranges::sort_heap(best, is_better);
  return best;
}

void Mixing::add(const float* expert_logits, double log_sum, double log_weight) {
  const double weight = std::exp(log_weight);
  if (product && weight > 0)
    logits.push_back({expert_logits, -weight * log_sum, weight});
  else if (!product && std::isfinite(log_weight))
    logits.push_back({expert_logits, log_weight - log_sum});
}

void mix(const Mixing& mixing, std::int64_t vocabulary) {
  std::vector<float> mixed(static_cast<std::size_t>(vocabulary));
  if (mixing.product) {
    multiply_experts(mixing.logits, mixed);
    normalise_product(*mixing.want, mixed, *mixing.readout);
  } else {
    mix_logits(mixing.logits, mixed);
  }
  mixing.readout->top = top_tokens(mixed, mixing.want->top);
  if (mixing.want->distribution) mixing.readout->distribution = std::move(mixed);
}

}  // namespace btm
