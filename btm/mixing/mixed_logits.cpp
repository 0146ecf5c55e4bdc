#include "btm/mixing/mixed_logits.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace btm {
namespace {

bool is_better(const TopToken& a, const TopToken& b) {
  return a.log_prob > b.log_prob || (a.log_prob == b.log_prob && a.token < b.token);
}

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

}  // namespace

void mix_logits(std::span<const WeightedLogits> experts, std::span<float> out) {
  if (experts.size() == 1) {  // -inf stays what it is
    const auto [logits, shift] = experts.front();
    for (std::size_t v = 0; v < out.size(); ++v) out[v] = static_cast<float>(logits[v] + shift);
    return;
  }
  constexpr std::int64_t kTokensOfTask = 1024;
  at::parallel_for(0, std::ssize(out), kTokensOfTask, [&](std::int64_t begin, std::int64_t end) {
    for (auto v = static_cast<std::size_t>(begin); v < static_cast<std::size_t>(end); ++v)
      out[v] = mixed_logit(experts, v);
  });
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

void mix(const Mixing& mixing, std::int64_t vocabulary) {
  std::vector<float> mixed(static_cast<std::size_t>(vocabulary));
  mix_logits(mixing.logits, mixed);
  mixing.readout->top = top_tokens(mixed, mixing.want->top);
  if (mixing.want->distribution) mixing.readout->distribution = std::move(mixed);
}

}  // namespace btm
