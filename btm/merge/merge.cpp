#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "btm/merge/merge_inputs.h"
#include "btm/merge/merge_methods.h"
#include "btm/merge/merge_options.h"
#include "btm/merge/tensor_stack.h"
#include "btm/model/layer_group.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/parallel.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/program/resource_limits.h"
#include "compat/torch/finite.h"

namespace btm {
namespace {

using compat::Checkpoint;
using compat::UsageError;

/// One merge. First collects what the method needs to know of all tensors, then computes each
/// tensor piece by piece.
class Merge {
 public:
  Merge(const MergeOptions& options, std::vector<float> weights, int threads)
      : options_(options),
        weights_(std::move(weights)),
        threads_(threads),
        density_(density_of(options)) {}

  void add(TensorStack stack) {
    stacks_.push_back(std::make_unique<TensorStack>(std::move(stack)));
  }
  /// The passes over all tensors that a method needs before its first result.
  void prepare() {
    if (options_.method == MergeMethod::kTies && !options_.trims_tensors)
      thresholds_ = thresholds_of(stacks_);
  }
  /// Tensor `index`, as a storage that is computed while it is written.
  std::shared_ptr<const compat::Storage> result(std::size_t index, compat::DType dtype,
                                                std::function<void(std::int64_t)> written) const;

 private:
  static double density_of(const MergeOptions& options) {
    return options.density > 0 ? options.density : options.method == MergeMethod::kTies ? 0.2 : 0.1;
  }
  std::size_t models() const noexcept { return weights_.size(); }
  using Stacks = std::span<const std::unique_ptr<TensorStack>>;
  /// TIES: for each model the magnitude that a share density_ of the values in `stacks` reach.
  std::vector<float> thresholds_of(Stacks stacks) const;
  template <class Count>
  void count_magnitudes(Stacks stacks, std::vector<MagnitudeRank>& ranks, Count count) const;
  std::vector<float> slerp_weights(const TensorStack& stack) const;
  std::vector<float> weights_of(const TensorStack& stack) const;
  /// The factors of the models, and of the base where there is one.
  std::vector<float> gram_factors(const TensorStack& stack) const;
  /// FormatError that names the model, or the result, whose piece of a tensor is not finite.
  void refuse_diverged(const std::string& tensor, std::span<const std::span<const float>> inputs,
                       std::span<const float> out, compat::DType dtype) const;
  void combine(std::size_t piece, std::span<const float> weights, std::span<const float> thresholds,
               std::span<const DareMask> masks, std::span<const std::span<const float>> inputs,
               std::span<float> out) const;

  const MergeOptions& options_;
  std::vector<float> weights_;
  int threads_;
  double density_;
  std::vector<float> thresholds_;                     ///< TIES over the whole model: one a model
  std::vector<std::unique_ptr<TensorStack>> stacks_;  ///< The models in order, then the base.
};

/// The values of a piece of all models of a stack.
struct PieceInputs {
  PieceInputs(const TensorStack& stack, std::size_t piece) : scratch(stack.models()) {
    for (std::size_t i = 0; i < stack.models(); ++i)
      values.push_back(stack.read(i, piece, scratch[i]));
  }
  std::vector<std::vector<float>> scratch;
  std::vector<std::span<const float>> values;
};

template <class Count>
void Merge::count_magnitudes(Stacks stacks, std::vector<MagnitudeRank>& ranks, Count count) const {
  std::vector<std::vector<MagnitudeRank>> partial(static_cast<std::size_t>(threads_), ranks);
  for (const auto& stack : stacks) {
    compat::for_each_piece(stack->pieces(), threads_, [&](std::size_t piece, int thread) {
      const PieceInputs inputs(*stack, piece);
      for (std::size_t i = 0; i < models(); ++i)
        count(partial[static_cast<std::size_t>(thread)][i], inputs.values.back(), inputs.values[i]);
      stack->release(piece);
    });
    stack->release();
  }
  for (auto& of_thread : partial)
    for (std::size_t i = 0; i < models(); ++i) ranks[i].add(of_thread[i]);
}

std::vector<float> Merge::thresholds_of(Stacks stacks) const {
  std::vector<MagnitudeRank> ranks(models());
  count_magnitudes(stacks, ranks, [](MagnitudeRank& rank, auto base, auto model) {
    rank.count_upper(base, model);
  });
  std::int64_t elements = 0;
  for (const auto& stack : stacks) {
    stack->check();
    elements += stack->numel();
  }
  const auto keep =
      std::max<std::int64_t>(1, std::llround(density_ * static_cast<double>(elements)));
  for (std::size_t i = 0; i < models(); ++i) {
    if (!ranks[i].all_finite())
      throw compat::FormatError(
          {options_.model_files[i].string(), {}, {}},
          "differs from the base model by infinity or NaN somewhere, which cannot be trimmed");
    ranks[i].choose(static_cast<std::uint64_t>(keep));
  }
  std::vector<MagnitudeRank> chosen = ranks;
  count_magnitudes(stacks, chosen, [](MagnitudeRank& rank, auto base, auto model) {
    rank.count_lower(base, model);
  });
  std::vector<float> thresholds;
  for (const MagnitudeRank& rank : chosen) thresholds.push_back(rank.threshold());
  return thresholds;
}

bool is_gram_method(MergeMethod method) noexcept { return method >= MergeMethod::kNuslerp; }

std::vector<float> Merge::gram_factors(const TensorStack& stack) const {
  const bool has_base = stack.models() > models();
  std::vector<Gram> partial(stack.pieces(), Gram(models()));
  compat::for_each_piece(stack.pieces(), threads_, [&](std::size_t piece, int) {
    const PieceInputs inputs(stack, piece);
    const std::span<const std::span<const float>> values = inputs.values;
    partial[piece].add(values.first(models()), has_base ? values.back() : std::span<const float>());
    stack.release(piece);
  });
  Gram gram(models());  // over the pieces in order: the same on any number of threads
  for (const Gram& piece : partial) gram += piece;
  const std::vector<double> weights(weights_.begin(), weights_.end());
  std::vector<double> factors;
  try {
    factors = options_.method == MergeMethod::kNuslerp      ? nuslerp_factors(gram, weights)
              : options_.method == MergeMethod::kMultislerp ? multislerp_factors(gram, weights)
              : options_.method == MergeMethod::kKarcher ? karcher_factors(gram, options_.karcher)
                                                         : model_stock_factors(gram);
  } catch (const std::runtime_error& error) {
    throw compat::FormatError({options_.output.string(), {}, {}},
                              "'" + compat::printable(stack.name()) + "': " + error.what());
  }
  if (has_base) factors.push_back(1 - std::accumulate(factors.begin(), factors.end(), 0.0));
  return {factors.begin(), factors.end()};
}

/// The number of layers that the names of tensors tell.
std::int64_t layers_in(const std::vector<std::unique_ptr<TensorStack>>& stacks) {
  constexpr std::string_view kLayers = "decoder.layers.";
  std::int64_t layers = 0;
  for (const auto& stack : stacks)
    if (stack->name().starts_with(kLayers))
      layers =
          std::max<std::int64_t>(layers, 1 + std::atoll(stack->name().c_str() + kLayers.size()));
  return layers;
}

std::vector<float> Merge::weights_of(const TensorStack& stack) const {
  if (is_gram_method(options_.method)) return gram_factors(stack);
  if (options_.method == MergeMethod::kSlerp) return slerp_weights(stack);
  const std::vector<std::vector<double>>& groups = options_.group_weights;
  if (groups.empty()) return weights_;
  const std::vector<double>& own =
      groups[layer_group(stack.name(), layers_in(stacks_), groups.size())];
  return {own.begin(), own.end()};
}

std::vector<float> Merge::slerp_weights(const TensorStack& stack) const {
  std::vector<InnerProducts> partial(stack.pieces());
  compat::for_each_piece(stack.pieces(), threads_, [&](std::size_t piece, int) {
    const PieceInputs inputs(stack, piece);
    partial[piece] = inner_products(inputs.values[0], inputs.values[1]);
    stack.release(piece);
  });
  InnerProducts sum;  // over the pieces in order: the same on any number of threads
  for (const InnerProducts& products : partial) sum += products;
  const auto [a, b] = slerp_factors(sum, weights_[1]);
  return {static_cast<float>(a), static_cast<float>(b)};
}

void Merge::combine(std::size_t piece, std::span<const float> weights,
                    std::span<const float> thresholds, std::span<const DareMask> masks,
                    std::span<const std::span<const float>> inputs, std::span<float> out) const {
  const auto models_only = inputs.first(models());
  const auto scale = static_cast<float>(options_.scale);
  switch (options_.method) {
    case MergeMethod::kLinear:
    case MergeMethod::kSlerp:
    case MergeMethod::kNuslerp:
    case MergeMethod::kMultislerp:
    case MergeMethod::kKarcher:
    case MergeMethod::kModelStock:
      return linear_sum(inputs, weights, out);
    case MergeMethod::kTaskArithmetic:
      return add_task_vectors(inputs.back(), models_only, weights, scale, out);
    case MergeMethod::kTies:
      return add_elected_task_vectors(inputs.back(), models_only, weights, scale, thresholds, out);
    case MergeMethod::kDare:
      return add_dropped_task_vectors(
          inputs.back(), models_only, weights, scale, density_, masks,
          static_cast<std::uint64_t>(piece) * static_cast<std::uint64_t>(kPieceElements), out);
  }
}

/// The least magnitude that rounds to infinity.
float overflow_of(compat::DType dtype) noexcept {
  return dtype == compat::DType::kFloat16    ? 65520.0f
         : dtype == compat::DType::kBFloat16 ? 0x1.ffp127f
                                             : INFINITY;
}

void Merge::refuse_diverged(const std::string& tensor,
                            std::span<const std::span<const float>> inputs,
                            std::span<const float> out, compat::DType dtype) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool counts =
        i >= models() || options_.method != MergeMethod::kLinear || weights_[i] != 0;
    if (counts && compat::first_not_finite(std::as_bytes(inputs[i]), compat::DType::kFloat32))
      throw compat::FormatError(
          {(i < models() ? options_.model_files[i] : options_.base_model).string(), {}, {}},
          "'" + compat::printable(tensor) +
              "' holds infinity or NaN: its training diverged, or its weights are damaged; leave "
              "it out");
  }
  const float limit = overflow_of(dtype);
  const bool fits = std::ranges::all_of(
      out, [limit](float value) { return std::abs(value) < limit; });  // false for NaN
  if (!fits)
    throw compat::FormatError({options_.output.string(), {}, {}},
                              "'" + compat::printable(tensor) +
                                  "' of the merged model is beyond what " +
                                  std::string(compat::dtype_name(dtype)) + " holds");
}

std::shared_ptr<const compat::Storage> Merge::result(
    std::size_t index, compat::DType dtype, std::function<void(std::int64_t)> written) const {
  const TensorStack& stack = *stacks_[index];
  return compat::Storage::computed(
      dtype, static_cast<std::uint64_t>(stack.numel()),
      [this, index, &stack, dtype, written](const compat::Storage::Sink& sink) {
        const std::vector<float> weights = weights_of(stack);
        const bool own_thresholds = options_.method == MergeMethod::kTies && options_.trims_tensors;
        const std::vector<float> thresholds =
            own_thresholds ? thresholds_of(std::span(&stacks_[index], 1)) : thresholds_;
        std::vector<DareMask> masks;
        if (options_.method == MergeMethod::kDare)
          for (std::size_t i = 0; i < models(); ++i)
            masks.push_back(dare_mask(options_.seed, i, stack.name()));
        std::size_t next = 0;
        compat::ordered_map<std::size_t, std::vector<std::byte>>(
            stack.pieces() <= 1 ? 1 : static_cast<std::size_t>(threads_),
            [&](std::size_t& piece) { return (piece = next++) < stack.pieces(); },
            [&](std::size_t, std::size_t piece, std::vector<std::byte>& bytes) {
              const PieceInputs inputs(stack, piece);
              const std::size_t size = inputs.values.front().size();
              if (dtype == compat::DType::kFloat32) {
                bytes.resize(size * sizeof(float));
                const std::span<float> sums(reinterpret_cast<float*>(bytes.data()), size);
                combine(piece, weights, thresholds, masks, inputs.values, sums);
                refuse_diverged(stack.name(), inputs.values, sums, dtype);
              } else {
                std::vector<float> sums(size);
                combine(piece, weights, thresholds, masks, inputs.values, sums);
                refuse_diverged(stack.name(), inputs.values, sums, dtype);
                store_floats(sums, dtype, bytes);
              }
              stack.release(piece);
            },
            [&](const std::vector<std::byte>& bytes) {
              sink(bytes);
              if (written)
                written(static_cast<std::int64_t>(bytes.size() / compat::element_size(dtype)));
            });
        stack.release();
        stack.check();
      });
}

std::vector<double> resolved_weights(const MergeOptions& options) {
  const std::size_t models = options.model_files.size();
  const bool arc = options.method == MergeMethod::kSlerp || options.method == MergeMethod::kNuslerp;
  const bool convex = arc || options.method == MergeMethod::kLinear ||
                      options.method == MergeMethod::kMultislerp || !takes_weights(options.method);
  const std::string method(merge_method_name(options.method));
  if (models == 0) throw UsageError("no models to merge");
  if (arc && models != 2)
    throw UsageError(compat::concat(method, " merges two models, found ", models));
  if (options.method == MergeMethod::kModelStock && models < 2)
    throw UsageError("model_stock merges two models or more, found 1");
  if (!takes_weights(options.method) && !options.weights.empty())
    throw UsageError(method + " gives all models the same weight, found --weights");
  std::vector<double> weights = options.weights;
  if (weights.empty()) weights.assign(models, convex ? 1.0 / static_cast<double>(models) : 1.0);
  if (weights.size() != models)
    throw UsageError(
        compat::concat(weights.size(), " weights for ", models, " models, expected one each"));
  for (const double weight : weights) {
    if (!std::isfinite(weight)) throw UsageError("a weight is not a finite number");
    const bool may_be_negative =
        options.method == MergeMethod::kTaskArithmetic || options.method == MergeMethod::kDare ||
        (options.method == MergeMethod::kLinear && options.allow_unnormalized);
    if (weight < 0 && !may_be_negative)
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

std::vector<Checkpoint> open_checked(const MergeOptions& options) {
  std::vector<std::filesystem::path> files = options.model_files;
  if (needs_base_model(options.method)) {
    if (options.base_model.empty())
      throw UsageError(std::string(merge_method_name(options.method)) +
                       " needs a base model (--base-model)");
    files.push_back(options.base_model);
  } else if (takes_base_model(options.method)) {
    if (!options.base_model.empty()) files.push_back(options.base_model);
  } else if (!options.base_model.empty()) {
    throw UsageError(std::string(merge_method_name(options.method)) +
                     " uses no base model, found --base-model");
  }
  std::vector<Checkpoint> models = open_models(files);
  refuse_input_as_output(options.output, models);
  check_alike(models);
  return models;
}

}  // namespace

std::string_view merge_method_name(MergeMethod method) noexcept {
  constexpr std::string_view kNames[] = {"linear",     "slerp",   "task-arithmetic",
                                         "ties",       "dare",    "nuslerp",
                                         "multislerp", "karcher", "model_stock"};
  return kNames[static_cast<std::size_t>(method)];
}

bool needs_base_model(MergeMethod method) noexcept {
  return takes_base_model(method) && method != MergeMethod::kNuslerp &&
         method != MergeMethod::kMultislerp;
}

bool takes_base_model(MergeMethod method) noexcept {
  return method != MergeMethod::kLinear && method != MergeMethod::kSlerp &&
         method != MergeMethod::kKarcher;
}

bool takes_weights(MergeMethod method) noexcept {
  return method != MergeMethod::kKarcher && method != MergeMethod::kModelStock;
}

MergeReport merge_checkpoints(const MergeOptions& options, const MergeProgress& progress,
                              const MergedRoot& root_of) {
  MergeReport report{.weights = resolved_weights(options)};
  const std::vector<Checkpoint> models = open_checked(options);
  const Checkpoint& first = models.front();
  Merge merge(options, {report.weights.begin(), report.weights.end()},
              options.num_threads > 0 ? options.num_threads : compat::usable_cores());

  const std::vector<std::size_t> originals = first_of_tied(first.model());
  std::int64_t done = 0, total = 0;
  const auto written = [&](std::int64_t elements) {
    done += elements;
    if (progress) progress(done, total);
  };
  compat::NamedTensors merged = first.model();
  std::size_t stacks = 0;
  for (std::size_t i = 0; i < merged.size(); ++i) {
    auto& [name, view] = merged[i];
    if (originals[i] != i) {
      view = merged[originals[i]].second;
      continue;
    }
    if (!is_merged(name, view)) continue;
    std::vector<const compat::TensorView*> views;
    for (const Checkpoint& model : models) views.push_back(find_tensor(model, name));
    for (const compat::TensorView* one : views) report.bytes_read += one->size_bytes();
    merge.add(TensorStack(name, std::move(views)));
    total += view.numel();
    view = compat::TensorView::contiguous(
        merge.result(stacks++, options.dtype.value_or(view.dtype()), written), view.shape);
  }
  merge.prepare();
  compat::PickleArena arena;
  const compat::PickleNode* root =
      compat::with_history(arena, root_of ? *root_of(arena, merged, models)
                                          : *compat::with_model(arena, first.root(), merged));
  const auto knows = std::ranges::find_if(
      models, [](const Checkpoint& model) { return !model.dictionary().sha256.empty(); });
  if (knows != models.end())
    root = compat::with_dictionary(arena, *root, knows->dictionary().sha256);
  compat::save_checkpoint(options.output, *root);
  report.models = options.model_files.size();
  report.tensors = stacks;
  report.bytes_written = std::filesystem::file_size(options.output);
  return report;
}

std::vector<double> read_posterior(const std::filesystem::path& results) {
  const auto file = compat::MappedFile::open(results);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  const std::string_view line = text.substr(text.rfind('\n') + 1);
  const auto json = compat::parse_json(line);
  const auto found = json.is_object() ? json.find("exp_avg_posterior") : json.end();
  const auto refuse = [&]() -> std::vector<double> {
    throw compat::FormatError(
        {file->path(), {}, {}},
        "the last line is '" + compat::printable(line) +
            "', expected JSON with the numbers 'exp_avg_posterior' (results of btm ensemble-eval)");
  };
  if (found == json.end() || !found->is_array() || found->empty()) return refuse();
  std::vector<double> posterior;
  for (const auto& value : *found) {
    if (!value.is_number()) return refuse();
    posterior.push_back(value.get<double>());
  }
  return posterior;
}

}  // namespace btm
