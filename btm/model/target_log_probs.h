// The log-probabilities of targets, without the logits of all tokens or, on the CPU, of the whole
// vocabulary in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace btm {

/// Natural log softmax(features weight^T)[target]. features [N, C] and weight [V, C] of one dtype
/// and device (on the CPU weight may be in half precision), targets [N] int64 in [0, V) there ->
/// [N] fp32 there. Logits of at most `rows_at_once` tokens are in memory at once, and no more than
/// tokens_of_logits() says.
at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& weight,
                            const at::Tensor& targets, std::int64_t rows_at_once);

/// How many tokens' fp32 logits over a vocabulary are worth making at once, at least one: no more
/// than 64 MiB on the CPU, where half as many cost training a tenth of its speed, and 512 MiB on a
/// GPU, which has to be kept busy.
std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device);

}  // namespace btm
