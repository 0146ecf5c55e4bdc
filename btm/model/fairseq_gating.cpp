#include "btm/model/fairseq_gating.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "compat/base/error.h"

namespace btm {
namespace {

constexpr std::array<std::string_view, 3> kSecondExpertNames{"all", "sampling", "random"};
constexpr const char* kFractionKey = "moe_eval_capacity_token_fraction";
constexpr const char* kPolicyKey = "moe_second_expert_policy";

compat::FormatError impossible(const compat::Config& config, const char* key,
                               const std::string& problem) {
  return compat::FormatError({config.file(), std::string("cfg.model.") + key, {}}, problem);
}

at::Tensor normalized_rows(const at::Tensor& weights) {
  return weights /
         weights.sum(1, /*keepdim=*/true).clamp_min(std::numeric_limits<float>::epsilon());
}

}  // namespace

FairseqGating::FairseqGating(const compat::Config& config, Routing routing, std::uint64_t seed)
    : routing_(routing), engine_(seed) {
  if (routing == Routing::kSoft)
    throw compat::UnsupportedError(compat::printable(config.file(), 4096) +
                                   ": has the router soft; fairseq has top1 and top2 alone");
  const compat::ConfigValue* const stated = config.find("model", kFractionKey);
  fraction_ = config.get_float("model", kFractionKey, fraction_);
  if (!std::isfinite(fraction_))
    throw impossible(config, kFractionKey, "is infinite or NaN, expected a finite number");
  // The code of DeMIX has a constant for top1, and rounds down.
  rounds_up_ = routing != Routing::kTop1 || stated != nullptr;
  normalizes_first_ = config.get_bool("model", "moe_normalize_gate_prob_before_dropping", false);
  const std::string policy = config.get_string("model", kPolicyKey, "sampling");
  const auto* const name = std::ranges::find(kSecondExpertNames, policy);
  if (name == kSecondExpertNames.end())
    throw impossible(config, kPolicyKey,
                     "is " + compat::printable(policy) + ", expected all, sampling or random");
  second_ = static_cast<SecondExpert>(name - kSecondExpertNames.begin());
}

std::string FairseqGating::second_expert() const {
  if (routing_ == Routing::kTop1) return "";
  return std::string(kSecondExpertNames[static_cast<std::size_t>(second_)]);
}

std::int64_t FairseqGating::capacity(std::int64_t tokens, std::int64_t experts) const {
  if (fraction_ <= 0) {
    const std::int64_t share = (tokens + experts - 1) / experts;
    return routing_ == Routing::kTop1 ? share : 2 * share;
  }
  // No expert is chosen more often than this. The limit keeps the conversion within its range.
  const auto most = static_cast<double>(2 * tokens);
  const double product = std::min(fraction_ * static_cast<double>(tokens), most);
  return static_cast<std::int64_t>(rounds_up_ ? std::ceil(product) : std::floor(product));
}

at::Tensor FairseqGating::uniform(at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  const std::span<float> values(out.mutable_data_ptr<float>(),
                                static_cast<std::size_t>(out.numel()));
  // 23 bits and a half: fp32 holds every such number, and none is 0 or 1.
  for (float& value : values)
    value = (static_cast<float>(engine_() >> 41) + 0.5F) * (1.0F / 8388608.0F);
  return out;
}

at::Tensor FairseqGating::second_choice(const at::Tensor& logits, const at::Tensor& first) {
  at::Tensor scores = logits.detach();
  if (second_ == SecondExpert::kSampling)  // the Gumbel-max way to draw from a softmax
    scores = scores - at::log(-at::log(uniform(scores.sizes()))).to(scores.device());
  return at::argmax(scores.scatter(1, first, -std::numeric_limits<float>::infinity()), 1,
                    /*keepdim=*/true);
}

at::Tensor FairseqGating::admitted(const at::Tensor& chosen, const at::Tensor& wanted,
                                   std::int64_t experts) {
  const at::Tensor places = chosen.cpu().contiguous(), asked = wanted.cpu().contiguous();
  const std::int64_t tokens = chosen.size(0), times = chosen.size(1);
  const std::int64_t most = capacity(tokens, experts);
  at::Tensor kept = at::zeros({tokens, times}, at::kFloat);
  const auto* const expert = places.const_data_ptr<std::int64_t>();
  const auto* const asks = asked.const_data_ptr<float>();
  auto* const keeps = kept.mutable_data_ptr<float>();
  // Choices beyond the capacity count, too: fairseq numbers them before it drops them.
  std::vector<std::int64_t> taken(static_cast<std::size_t>(experts));
  for (std::int64_t j = 0; j < times; ++j) {
    ChoiceCount& count = counts_.at(static_cast<std::size_t>(j));
    for (std::int64_t at = j; at < tokens * times; at += times) {
      if (asks[at] == 0) continue;
      const bool fits = taken[static_cast<std::size_t>(expert[at])]++ < most;
      keeps[at] = fits ? 1.0F : 0.0F;
      ++count.choices;
      count.over_capacity += fits ? 0 : 1;
    }
  }
  return kept.to(chosen.device());
}

ExpertChoice FairseqGating::choose(const at::Tensor& logits) {
  const std::int64_t experts = logits.size(1);
  const at::Tensor gates = at::softmax(logits, -1);
  const at::Tensor first = at::argmax(gates, 1, /*keepdim=*/true);
  if (routing_ == Routing::kTop1)
    return {first, gates.gather(1, first) * admitted(first, at::ones(first.sizes()), experts)};
  const at::Tensor chosen = at::cat({first, second_choice(logits, first)}, 1);
  at::Tensor weights = gates.gather(1, chosen);
  if (normalizes_first_) weights = normalized_rows(weights);
  at::Tensor wanted = at::ones(chosen.sizes());
  if (second_ == SecondExpert::kRandom)
    wanted.select(1, 1).copy_(2 * weights.select(1, 1).cpu() > uniform({chosen.size(0)}));
  weights = weights * admitted(chosen, wanted, experts);
  return {chosen, normalizes_first_ ? weights : normalized_rows(weights)};
}

}  // namespace btm
