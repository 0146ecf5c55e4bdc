#include "btm/merge/merge_settings.h"

#include <cmath>
#include <numeric>
#include <string>

#include "btm/model/layer_group.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::UsageError;

void check_models(const MergeOptions& options) {
  const std::size_t models = options.model_files.size();
  const std::string method(merge_method_name(options.method));
  if (models == 0) throw UsageError("no models to merge");
  if (is_arc(options.method) && models != 2)
    throw UsageError(compat::concat(method, " merges two models, found ", models));
  if (options.method == MergeMethod::kModelStock && models < 2)
    throw UsageError("model_stock merges two models or more, found 1");
  if (takes_weights(options.method) || options.weights.empty()) return;
  throw UsageError(method + (options.method == MergeMethod::kSce
                                 ? " finds the weights of the models itself, found --weights"
                                 : " gives all models the same weight, found --weights"));
}

void check_density(const MergeOptions& options) {
  const std::string method(merge_method_name(options.method));
  const std::size_t models = options.model_files.size(), densities = options.density.size();
  const auto sparse = sparse_method(options.method, options.trims_tensors);
  const bool many = sparse.has_value();
  if (densities > 1 && (!many || densities != models))
    throw UsageError(compat::concat(densities, " densities for ", models, " models, expected one",
                                    many ? ", or one each" : ""));
  if (!sparse || sparse->sparsifier != Sparsifier::kRanks) return;
  for (std::size_t i = 0; i < models; ++i) {
    const double density = density_of(options, i),
                 epsilon = options.epsilon.value_or(SparseParameters().epsilon);
    if (density < 1 && !are_probabilities(density, epsilon))
      throw UsageError(compat::concat(method, " keeps elements with probabilities from ",
                                      compat::general(density - epsilon), " to ",
                                      compat::general(density + epsilon),
                                      " (density and epsilon), expected them between 0 and 1"));
  }
}

bool may_be_negative(const MergeOptions& options) {
  if (options.method == MergeMethod::kLinear) return options.allow_unnormalized;
  return !weights_sum_to_one(options.method) && options.method != MergeMethod::kTies;
}

}  // namespace

std::optional<compat::DType> output_dtype(std::string_view name) noexcept {
  for (const compat::DType dtype :
       {compat::DType::kFloat32, compat::DType::kFloat16, compat::DType::kBFloat16})
    if (compat::dtype_name(dtype) == name) return dtype;
  return std::nullopt;
}

std::vector<double> resolved_weights(const MergeOptions& options) {
  check_models(options);
  check_density(options);
  const std::size_t models = options.model_files.size();
  const bool convex = weights_sum_to_one(options.method) || !takes_weights(options.method);
  std::vector<double> weights = options.weights;
  if (weights.empty()) weights.assign(models, convex ? 1.0 / static_cast<double>(models) : 1.0);
  if (weights.size() != models)
    throw UsageError(
        compat::concat(weights.size(), " weights for ", models, " models, expected one each"));
  for (const double weight : weights) {
    if (!std::isfinite(weight)) throw UsageError("a weight is not a finite number");
    if (weight < 0 && !may_be_negative(options))
      throw UsageError(compat::concat("weight ", compat::general(weight), " is negative"));
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const bool sums_to_one = std::abs(sum - 1) <= 1e-4;
  const bool always = options.method == MergeMethod::kNuslerp ||
                      options.method == MergeMethod::kMultislerp ||
                      (options.method == MergeMethod::kSlerp && sums_to_one);
  if (options.normalize || always) {
    if (!(sum > 0))
      throw UsageError(compat::concat("the weights sum to ", compat::general(sum),
                                      ", which cannot be normalized"));
    for (double& weight : weights) weight /= sum;
  } else if (convex && !sums_to_one &&
             !(options.allow_unnormalized && options.method == MergeMethod::kLinear)) {
    throw UsageError(compat::concat(
        "the weights sum to ", compat::general(sum), ", expected 1 (--normalize divides by the sum",
        options.method == MergeMethod::kLinear ? ", --allow-unnormalized accepts them)" : ")"));
  }
  return weights;
}

double density_of(const MergeOptions& options, std::size_t model) {
  if (!options.density.empty())
    return options.density[options.density.size() > 1 ? model : std::size_t{0}];
  return options.method == MergeMethod::kTies   ? 0.2
         : options.method == MergeMethod::kDare ? 0.1
                                                : 1;
}

SettingsOf settings_from(const MergeOptions& options, const std::vector<double>& weights,
                         bool tied_output) {
  TensorSettings all;
  all.weights = weights;
  all.scale = options.scale;
  all.karcher = options.karcher;
  all.select_topk = options.select_topk.value_or(1);
  if (const auto sparse = sparse_method(options.method, options.trims_tensors)) {
    all.normalizes = sparse->normalizes || options.normalize;
    all.rescales = options.rescale.value_or(sparse->rescales);
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    SparseParameters& sparse = all.sparse.emplace_back();
    sparse.density = density_of(options, i);
    sparse.gamma = options.gamma.value_or(sparse.gamma);
    sparse.epsilon = options.epsilon.value_or(sparse.epsilon);
  }
  return [all, groups = options.group_weights, tied_output](std::string_view tensor,
                                                            std::int64_t layers) {
    TensorSettings settings = all;
    if (!groups.empty())
      settings.weights = groups[layer_group(tensor, layers, groups.size(), tied_output)];
    return settings;
  };
}

}  // namespace btm
