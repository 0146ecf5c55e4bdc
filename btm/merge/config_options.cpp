#include "btm/merge/config_options.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "btm/merge/merge_inputs.h"
#include "btm/model/layer_group.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::printable;

/// mergekit's slerp is linear between tensors with a larger cosine.
constexpr double kStraight = 0.9995;

/// The settings of each tensor. The models are in the order in which they are merged.
class ConfigSettings {
 public:
  ConfigSettings(MergeConfig config, MergeMethod method, std::vector<MergeConfig::Model> models,
                 std::string file)
      : config_(std::move(config)),
        method_(method),
        models_(std::move(models)),
        file_(std::move(file)) {}

  TensorSettings operator()(std::string_view tensor, std::int64_t layers) const {
    const auto layer = layer_of(tensor);
    const double depth = !layer       ? 0
                         : layers < 2 ? 1
                                      : static_cast<double>(std::min(*layer, layers - 1)) /
                                            static_cast<double>(layers - 1);
    const auto shared = [&](std::string_view name, double otherwise) {
      return config_.of_all(name, tensor, depth).value_or(otherwise);
    };
    TensorSettings settings;
    settings.scale = shared("lambda", 1);
    settings.select_topk = shared("select_topk", 1);
    settings.karcher.max_iter = static_cast<std::int64_t>(
        shared("max_iter", static_cast<double>(settings.karcher.max_iter)));
    settings.karcher.tol = shared("tol", settings.karcher.tol);
    settings.straight = kStraight;
    settings.weights = weights_of(tensor, depth);
    if (const auto sparse = sparse_method(method_, true)) {
      settings.normalizes = shared("normalize", sparse->normalizes) != 0;
      settings.rescales = shared("rescale", sparse->rescales) != 0;
      for (const MergeConfig::Model& model : models_)
        settings.sparse.push_back(sparse_of(*sparse, model, tensor, depth));
    }
    return settings;
  }

 private:
  [[noreturn]] void refuse(std::string_view tensor, const std::string& problem) const {
    throw compat::FormatError({file_, {}, {}}, "'" + printable(tensor) + "': " + problem);
  }

  SparseParameters sparse_of(const SparseMethod& method, const MergeConfig::Model& model,
                             std::string_view tensor, double depth) const {
    SparseParameters sparse;
    const auto value = [&](std::string_view name, double otherwise) {
      return config_.of_model(model, name, tensor, depth).value_or(otherwise);
    };
    sparse.density = value("density", sparse.density);
    sparse.gamma = value("gamma", sparse.gamma);
    sparse.epsilon = value("epsilon", sparse.epsilon);
    if (method.sparsifier == Sparsifier::kRanks && sparse.density > 0 && sparse.density < 1 &&
        !are_probabilities(sparse.density, sparse.epsilon))
      refuse(tensor,
             compat::concat("density ", compat::general(sparse.density), " and epsilon ",
                            compat::general(sparse.epsilon), " of ", printable(model.path, 4096),
                            ", expected their sum and difference between 0 and 1"));
    return sparse;
  }

  std::vector<double> weights_of(std::string_view tensor, double depth) const {
    if (method_ == MergeMethod::kSlerp) {
      const auto t = config_.of_all("t", tensor, depth);
      if (!t) refuse(tensor, "no parameter 't'");
      return {1 - *t, *t};
    }
    if (!takes_weights(method_))
      return std::vector<double>(models_.size(), 1 / static_cast<double>(models_.size()));
    std::vector<double> weights;
    for (const MergeConfig::Model& model : models_) {
      const auto weight = config_.of_model(model, "weight", tensor, depth);
      if (!weight) refuse(tensor, "no parameter 'weight' of " + printable(model.path, 4096));
      weights.push_back(*weight);
    }
    return normalized(std::move(weights), tensor, depth);
  }

  std::vector<double> normalized(std::vector<double> weights, std::string_view tensor,
                                 double depth) const {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto told = [&](std::string_view name, bool otherwise) {
      return config_.of_all(name, tensor, depth).value_or(otherwise ? 1 : 0) != 0;
    };
    if (method_ == MergeMethod::kNuslerp) {
      const double t = std::abs(sum) < 1e-6 ? 0.5 : weights[1] / sum;
      return {1 - t, t};
    }
    const bool of_sum = method_ == MergeMethod::kLinear       ? told("normalize", true)
                        : method_ == MergeMethod::kMultislerp ? told("normalize_weights", true)
                        : method_ == MergeMethod::kTaskArithmetic
                            ? told("normalize", false) && std::abs(sum) >= 1e-8
                            : false;
    if (!of_sum) return weights;
    if (sum == 0) refuse(tensor, "the weights of the models sum to 0");
    for (double& weight : weights) weight /= sum;
    return weights;
  }

  MergeConfig config_;
  MergeMethod method_;
  std::vector<MergeConfig::Model> models_;
  std::string file_;
};

}  // namespace

MergeOptions options_from(const MergeConfig& config, const std::string& file) {
  const auto refuse = [&](const std::string& problem) {
    throw compat::FormatError({file, {}, {}}, config.method + " " + problem);
  };
  MergeOptions options;
  // The one name that is spelt otherwise is task_arithmetic.
  options.method = merge_method(config.method).value_or(MergeMethod::kTaskArithmetic);
  options.trims_tensors = options.method == MergeMethod::kTies;
  const bool is_slerp = options.method == MergeMethod::kSlerp;
  std::vector<MergeConfig::Model> models = config.models;
  const auto base = std::ranges::find(models, config.base_model, &MergeConfig::Model::path);
  if (takes_base_model(options.method) || is_slerp) {
    if (config.base_model.empty() && (needs_base_model(options.method) || is_slerp))
      refuse("needs a 'base_model'");
    if (base != models.end()) models.erase(base);
    options.base_model = config.base_model;
  } else if (!config.base_model.empty() && base == models.end()) {
    refuse("has no base, and the base_model is none of the 'models'");
  }
  const bool is_pair = options.method == MergeMethod::kNuslerp;
  const std::size_t least = is_pair || options.method == MergeMethod::kModelStock ? 2 : 1;
  if (models.size() < least || ((is_slerp || is_pair) && models.size() > least))
    refuse(compat::concat("merges ", is_slerp || is_pair ? "exactly " : "at least ", least,
                          least == 1 ? " model" : " models",
                          config.base_model.empty() ? "" : " beside the base", ", found ",
                          models.size()));
  if (is_slerp) {
    models.insert(models.begin(), MergeConfig::Model{config.base_model, {}});
    options.base_model.clear();
  }
  for (const MergeConfig::Model& model : models) options.model_files.emplace_back(model.path);
  options.dtype = output_dtype(config.dtype);
  options.settings_of = ConfigSettings(config, options.method, std::move(models), file);
  return options;
}

std::vector<std::string> unused_filters(const MergeConfig& config, const MergeOptions& options) {
  std::vector<const MergeParameters*> all{&config.parameters};
  for (const MergeConfig::Model& model : config.models) all.push_back(&model.parameters);
  const std::vector<compat::Checkpoint> first =
      open_models(std::span(options.model_files).first(1));
  std::vector<std::string> lines;
  for (const MergeParameters* const parameters : all)
    for (const auto& [name, parameter] : *parameters)
      for (const MergeParameter::Part& part : parameter.parts())
        if (std::ranges::none_of(first.front().model(), [&](const auto& tensor) {
              return tensor.first.find(part.filter) != std::string::npos;
            }))
          lines.push_back(compat::concat("line ", part.line, ": no tensor has the filter '",
                                         printable(part.filter), "' of '", name, "' in its name"));
  return lines;
}

}  // namespace btm
