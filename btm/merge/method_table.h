// The ways to merge models, and what each of them takes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "btm/merge/sparse_tasks.h"

namespace btm {

/// Ways to merge models x_1 ... x_N with weights w_i, per element unless said otherwise. b: a base
/// model, t_i = x_i - b, s: the scale.
enum class MergeMethod : std::uint8_t {
  kLinear,  ///< sum w_i x_i (the average of BTM's release)
  kSlerp,   ///< of two: along the great circle between each pair of tensors (Shoemake, 1985)
  kTaskArithmetic,  ///< b + s sum w_i t_i (Ilharco et al., arXiv:2212.04089)
  kTies,  ///< t_i trimmed over the whole model or each tensor, signs elected, agreeing ones
          ///< averaged (Yadav et al., arXiv:2306.01708)
  kDare,  ///< task arithmetic on t_i with elements dropped at random, the rest rescaled (Yu et al.,
          ///< arXiv:2311.03099)
  // mergekit's names. Each tensor is a sum with factors of its own (gram_merge.h).
  kNuslerp,     ///< of two: along the arc between x_i, or between t_i
  kMultislerp,  ///< the mean direction and length of x_i, or of t_i
  kKarcher,     ///< the mean on the sphere of all x_i
  kModelStock,  ///< b + t times the mean of t_i; the angles between t_i give t
  // mergekit's names. Some elements of each t_i are kept, then summed (sparse_tasks.h).
  kDareLinear,       ///< at random
  kDareTies,         ///< the same, with elected signs
  kBreadcrumbs,      ///< the largest but the very largest (Davari and Belilovsky, arXiv:2312.06795)
  kBreadcrumbsTies,  ///< the same, with elected signs
  kDella,            ///< at random, larger ones more often, with elected signs (arXiv:2406.11617)
  kDellaLinear,      ///< the same without elected signs
  kSce,              ///< the elements that vary most, weighted by their squares (arXiv:2408.07990)
};

inline constexpr std::array kMergeMethods{MergeMethod::kLinear,
                                          MergeMethod::kSlerp,
                                          MergeMethod::kTaskArithmetic,
                                          MergeMethod::kTies,
                                          MergeMethod::kDare,
                                          MergeMethod::kNuslerp,
                                          MergeMethod::kMultislerp,
                                          MergeMethod::kKarcher,
                                          MergeMethod::kModelStock,
                                          MergeMethod::kDareLinear,
                                          MergeMethod::kDareTies,
                                          MergeMethod::kBreadcrumbs,
                                          MergeMethod::kBreadcrumbsTies,
                                          MergeMethod::kDella,
                                          MergeMethod::kDellaLinear,
                                          MergeMethod::kSce};

/// "linear", "slerp", "task-arithmetic", "ties", "dare", and mergekit's names.
std::string_view merge_method_name(MergeMethod method) noexcept;
/// The method of that name; none where there is none.
std::optional<MergeMethod> merge_method(std::string_view name) noexcept;
bool needs_base_model(MergeMethod method) noexcept;
/// Whether a base model changes the result: nuslerp and multislerp work with and without one.
bool takes_base_model(MergeMethod method) noexcept;
/// Whether the models have weights.
bool takes_weights(MergeMethod method) noexcept;
/// Whether the weights are 1/N unless they are given, and sum to 1.
bool weights_sum_to_one(MergeMethod method) noexcept;
/// Whether it works on the arc between two models.
bool is_arc(MergeMethod method) noexcept;
/// Whether each tensor is a sum with factors from inner products (gram_merge.h).
bool is_gram_method(MergeMethod method) noexcept;

/// How mergekit makes task vectors sparse and sums them, for the methods that it builds so. TIES is
/// one of them where it trims tensors.
std::optional<SparseMethod> sparse_method(MergeMethod method, bool trims_tensors) noexcept;

}  // namespace btm
