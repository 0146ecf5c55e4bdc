// The options of `btm average`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "btm/merge/gram_merge.h"
#include "btm/merge/method_table.h"
#include "btm/merge/tensor_settings.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/torch/tensor.h"

namespace btm {

/// The type of that name ("float32", "float16", "bfloat16") for a merge's output; none for others.
std::optional<compat::DType> output_dtype(std::string_view name) noexcept;

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
  /// The share of each task vector that is kept: one for all models, or one each. Empty: 0.2 of
  /// TIES and 0.1 of DARE, as in the papers, and 1 of mergekit's methods.
  std::vector<double> density;
  bool trims_tensors =
      false;  ///< TIES: `density` is of each tensor (mergekit), not of the whole model (the paper).
  std::optional<double> gamma, epsilon;  ///< Of breadcrumbs and of della (SparseParameters).
  std::optional<double> select_topk;     ///< SCE: the share of the elements that is kept.
  std::optional<bool> rescale;           ///< dare_*, della*: none: as mergekit.
  double scale = 1;
  KarcherOptions karcher;
  std::uint64_t seed = 1;  ///< The choice of elements by dare*, della*.
  bool normalize =
      false;  ///< Divide the weights by their sum; with elected signs, what they sum to.
  bool allow_unnormalized =
      false;  ///< Linear: take weights as they are, whatever their sum and signs.
  /// In place of all of the above from `weights` on, but for the base, the method and the seed.
  SettingsOf settings_of;
  std::optional<compat::DType>
      dtype;            ///< Of the floating-point tensors; none: as in the first file.
  int num_threads = 0;  ///< 0: all cores.
};

struct MergeReport {
  std::size_t models = 0, tensors = 0;
  std::uint64_t bytes_read = 0, bytes_written = 0;
  std::vector<double> weights;  ///< Of the models; empty where tensors differ.
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
