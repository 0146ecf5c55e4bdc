// The settings of BTM's release: scales, domains. Facts of hadasah/btm (btm_utils/constants.py,
// btm_shell_scripts) and of the paper (Li et al., arXiv:2208.03306).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace btm {

struct ReleaseScale {
  std::string_view name;          ///< "125M": the folder of the released models
  std::string_view architecture;  ///< --arch
  int gpus;                       ///< of a dense, seed or DeMIX run
  int branch_gpus;                ///< of an expert's run: an eighth
  std::int64_t num_updates;       ///< seed phase and branch together
  std::int64_t seed_phase_updates;
  std::int64_t update_freq;
  double lr;
  std::int64_t save_interval_updates, validate_interval_updates;
  std::string_view precision;  ///< "fp16" or "memory-efficient-fp16"
};

std::span<const ReleaseScale> release_scales() noexcept;

/// The scale's row for a name ("350M") or an architecture; null for others.
const ReleaseScale* find_release_scale(std::string_view name) noexcept;

std::span<const std::string_view>
release_training_domains() noexcept;  ///< The 8 that experts are trained on.
std::span<const std::string_view>
release_evaluation_domains() noexcept;  ///< The 8 that only evaluate.
/// What the release lists for its 64-domain corpus: 56 names.
std::span<const std::string_view> release_scaled_domains() noexcept;

}  // namespace btm
