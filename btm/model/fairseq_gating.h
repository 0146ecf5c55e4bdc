// How fairseq's moe branch picks the experts of a batch in evaluation. Source: top1gating() and
// top2gating() of kernelmachine/demix, fairseq/modules/moe. N tokens (padding included), E experts.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>

#include "btm/model/routing.h"
#include "compat/fairseq/config.h"

namespace btm {

/// The experts of tokens, k each, and what weighs their outputs.
struct ExpertChoice {
  at::Tensor experts, weights;  ///< [N, k] int64 and fp32
};

/// What happens to the second of two experts (moe_second_expert_policy).
enum class SecondExpert : std::uint8_t {
  kAll,       ///< Always the second best.
  kSampling,  ///< Drawn in proportion to the probabilities of all but the best.
  kRandom,    ///< The second best, left out with a probability of 1 - 2 times its own.
};

/// An expert takes the first tokens of a batch up to its capacity; all first choices come before
/// all second ones. A choice beyond the capacity has weight 0. Which tokens these are depends on
/// the batch and its padding.
class FairseqGating {
 public:
  /// Reads cfg.model.moe_eval_capacity_token_fraction (0.25), moe_second_expert_policy (sampling)
  /// and moe_normalize_gate_prob_before_dropping. FormatError for impossible values;
  /// UnsupportedError for Routing::kSoft, which fairseq lacks. `seed` is of what is drawn.
  FairseqGating(const compat::Config& config, Routing routing, std::uint64_t seed);

  /// The router's logits [N, E] fp32 -> the choice of one batch.
  ExpertChoice choose(const at::Tensor& logits);

  /// Whether a choice depends on chance.
  bool draws() const noexcept {
    return routing_ == Routing::kTop2 && second_ != SecondExpert::kAll;
  }
  double capacity_fraction() const noexcept { return fraction_; }  ///< 0 or less: as in training.
  /// fairseq's name: "all", "sampling" or "random"; "" for top1.
  std::string second_expert() const;
  const ChoiceCount& first() const noexcept { return counts_[0]; }
  const ChoiceCount& second() const noexcept { return counts_[1]; }

 private:
  std::int64_t capacity(std::int64_t tokens, std::int64_t experts) const;
  at::Tensor uniform(at::IntArrayRef shape);  ///< In (0, 1), fp32 on the CPU.
  at::Tensor second_choice(const at::Tensor& logits, const at::Tensor& first);
  /// [N, k] fp32: 1 where a choice is within the capacity and `wanted` [N, k], else 0.
  at::Tensor admitted(const at::Tensor& chosen, const at::Tensor& wanted, std::int64_t experts);

  Routing routing_;
  double fraction_ = 0.25;
  bool rounds_up_ = true, normalizes_first_ = false;
  SecondExpert second_ = SecondExpert::kSampling;
  std::mt19937_64 engine_;
  std::array<ChoiceCount, 2> counts_;
};

}  // namespace btm
