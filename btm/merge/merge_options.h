// The options of `btm average`.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "btm/merge/gram_merge.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/torch/tensor.h"

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
};

inline constexpr std::array kMergeMethods{
    MergeMethod::kLinear,     MergeMethod::kSlerp,   MergeMethod::kTaskArithmetic,
    MergeMethod::kTies,       MergeMethod::kDare,    MergeMethod::kNuslerp,
    MergeMethod::kMultislerp, MergeMethod::kKarcher, MergeMethod::kModelStock};

/// "linear", "slerp", "task-arithmetic", "ties", "dare", "nuslerp", "multislerp", "karcher",
/// "model_stock".
std::string_view merge_method_name(MergeMethod method) noexcept;
bool needs_base_model(MergeMethod method) noexcept;
/// Whether a base model changes the result: nuslerp and multislerp work with and without one.
bool takes_base_model(MergeMethod method) noexcept;
/// Whether the models have weights.
bool takes_weights(MergeMethod method) noexcept;

struct MergeOptions {
  std::vector<std::filesystem::path>
      model_files;              ///< Each a file or a folder (compat::resolve_model).
  std::vector<double> weights;  ///< Empty: 1/N each (linear, slerp), 1 each (the others).
  /// Linear: [G][N] weights of the models in each group of layers (btm/model/layer_group.h), in
  /// place of `weights`. Empty: none.
  std::vector<std::vector<double>> group_weights;
  std::filesystem::path base_model;
  std::filesystem::path output;  ///< The file to write.
  MergeMethod method = MergeMethod::kLinear;
  double density =
      0;  ///< TIES, DARE: the share of each task vector that is kept; 0: the paper's 0.2 and 0.1.
  bool trims_tensors =
      false;  ///< TIES: `density` is of each tensor (mergekit), not of the whole model (the paper).
  double scale = 1;
  KarcherOptions karcher;
  std::uint64_t seed = 1;  ///< DARE's choice of elements.
  bool normalize = false;  ///< Divide the weights by their sum.
  bool allow_unnormalized =
      false;  ///< Linear: take weights as they are, whatever their sum and signs.
  std::optional<compat::DType>
      dtype;            ///< Of the floating-point tensors; none: as in the first file.
  int num_threads = 0;  ///< 0: all cores.
};

struct MergeReport {
  std::size_t models = 0, tensors = 0;
  std::uint64_t bytes_read = 0, bytes_written = 0;
  std::vector<double> weights;  ///< The weights that were used.
};

/// Called in the calling thread with the number of elements done and of all.
using MergeProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// The dict of the checkpoint that a merge writes, from the merged tensors, which are computed when
/// they are read or written, and the models. In place of the first model's with these tensors.
using MergedRoot = std::function<const compat::PickleNode*(
    compat::PickleArena& arena, const compat::NamedTensors& merged,
    std::span<const compat::Checkpoint> models)>;

/// Merges the models' tensors. All else comes from the first file, as do `decoder.version` and
/// tensors that are not floating-point. Tensors that share memory in the first file also do in the
/// output. Arithmetic is fp32; sums run over the models in the order given. Needs memory for a few
/// pieces of a tensor, whatever the models' size. UsageError for weights that do not fit.
/// FormatError for models that differ in names, shapes, configuration or dictionary, for NaN or
/// infinity (it names the model and its first such tensor), and for a sum beyond the range of the
/// output's dtype. The output appears whole or not at all.
MergeReport merge_checkpoints(const MergeOptions& options, const MergeProgress& progress = {},
                              const MergedRoot& root_of = {});

/// The domain posterior in an ensemble's results: `exp_avg_posterior` of the last line. FormatError
/// when there is none.
std::vector<double> read_posterior(const std::filesystem::path& results);

}  // namespace btm
