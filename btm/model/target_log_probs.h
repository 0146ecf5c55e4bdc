// The log-probabilities of targets, without the logits of all tokens or, on the CPU, of the whole vocabulary in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace btm {

/// Natural log softmax(features weight^T)[target]. features [N, C] and weight [V, C] of one dtype and device, targets [N] int64
/// in [0, V) there -> [N] fp32 there. Logits of at most `rows_at_once` tokens are in memory at once, and no more than 64 MiB of them.
at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& weight, const at::Tensor& targets, std::int64_t rows_at_once);

/// How many tokens' fp32 logits over a vocabulary take no more than 64 MiB, at least one: half as many cost training a tenth of its speed.
std::int64_t tokens_of_logits(std::int64_t vocabulary);

}  // namespace btm
