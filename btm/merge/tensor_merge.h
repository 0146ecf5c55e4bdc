// How one tensor is merged, by any of the methods.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "btm/merge/method_table.h"
#include "btm/merge/sparse_merge.h"
#include "btm/merge/tensor_settings.h"
#include "btm/merge/tensor_stack.h"

namespace btm {

using Stacks = std::span<const std::unique_ptr<TensorStack>>;

/// What is the same for all tensors of a merge.
struct MergeRule {
  MergeMethod method = MergeMethod::kLinear;
  bool trims_tensors = false;  ///< TIES: of each tensor, as mergekit.
  std::uint64_t seed = 1;
  int threads = 1;
  /// TIES over the whole model: for each model the magnitude that the task vectors' elements must
  /// reach (model_thresholds).
  std::vector<float> thresholds;
};

/// TIES of the paper: for each model the magnitude that a share `density` of its differences to the
/// base reach. `stacks` have the models and then the base. FormatError that names one of `files`
/// [N] where a difference is not finite.
std::vector<float> model_thresholds(Stacks stacks, double density, int threads,
                                    std::span<const std::filesystem::path> files);

/// Makes the passes over a tensor that the method needs, and returns what computes its pieces. The
/// stack has the models and then the base, where there is one, and outlives the result.
/// FormatError at `output` where the directions of a tensor cancel.
Combine combine_of(const TensorStack& stack, const TensorSettings& settings, const MergeRule& rule,
                   const std::filesystem::path& output);

}  // namespace btm
