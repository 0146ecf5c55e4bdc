// The merge of one tensor by sparse task vectors, in bounded memory: what is kept is found in
// passes over the tensor, before the pass that computes the result. All of it is the same on any
// number of threads.
#pragma once

#include <cstdint>
#include <functional>

#include "btm/merge/tensor_settings.h"
#include "btm/merge/tensor_stack.h"

namespace btm {

/// Computes a piece of the merged tensor. `inputs`: the piece of all models, then of the base where
/// there is one.
using Combine = std::function<void(std::size_t piece, Models inputs, std::span<float> out)>;

/// Whether the pieces of the stack must be whole rows.
inline bool needs_rows(const SparseMethod& method) noexcept {
  return method.sparsifier == Sparsifier::kRanks;
}

/// mergekit's generalized task arithmetic. `stack` has the models and then the base, and outlives
/// the result. UnsupportedError for the ranks of rows in a tensor of more than two dimensions.
Combine sparse_combine(const TensorStack& stack, const SparseMethod& method,
                       const TensorSettings& settings, std::uint64_t seed, int threads);

/// SCE (Wan et al., arXiv:2408.07990): keeps the share `select_topk` of those elements whose
/// variance over the models is not 0, the largest ones. A model's weight is the mean square of what
/// is kept of its task vector.
Combine sce_combine(const TensorStack& stack, const TensorSettings& settings, int threads);

}  // namespace btm
