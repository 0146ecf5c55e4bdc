// The log-probabilities of targets. The logits of all tokens never lie in memory at once; on the
// CPU not even those of the whole vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "btm/model/recomputed_linear.h"

namespace btm {

/// Natural log softmax(features weight^T)[target]. features [N, C] and weight [V, C] of one dtype
/// and device (on the CPU weight may be in half precision), targets [N] int64 in [0, V) there ->
/// [N] fp32 there. Logits of at most `rows_at_once` tokens and at most tokens_of_logits() are in
/// memory at once.
at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& weight,
                            const at::Tensor& targets, std::int64_t rows_at_once);

/// The same with the weight of a layer without bias, multiplied as the layer says. Where that is
/// not fp32, features [N, C] are fp32 on the CPU.
at::Tensor target_log_probs(const at::Tensor& features, const Linear& output,
                            const at::Tensor& targets, std::int64_t rows_at_once);

/// The number of tokens whose fp32 logits are made at once, at least one: at most 64 MiB of logits
/// on the CPU, where half as many slow training by a tenth, and 512 MiB on a GPU, which needs large
/// products.
std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device);

}  // namespace btm
