#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "btm/merge/merge_inputs.h"
#include "btm/merge/merge_options.h"
#include "btm/merge/merge_settings.h"
#include "btm/merge/tensor_merge.h"
#include "btm/model/layer_group.h"
#include "compat/base/error.h"
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
  Merge(const MergeOptions& options, SettingsOf settings_of, int threads)
      : options_(options), settings_of_(std::move(settings_of)) {
    rule_ = {options.method, options.trims_tensors, options.seed, threads, {}};
  }

  void add(const std::string& name, std::vector<const compat::TensorView*> views) {
    const auto sparse = sparse_method(rule_.method, rule_.trims_tensors);
    stacks_.push_back(
        std::make_unique<TensorStack>(name, std::move(views), sparse && needs_rows(*sparse)));
  }
  /// The settings of all tensors, and the passes over them that a method needs before its first
  /// result.
  void prepare() {
    std::int64_t layers = 1;  // as the names of the tensors tell
    for (const auto& stack : stacks_)
      layers = std::max(layers, 1 + layer_of(stack->name()).value_or(0));
    for (const auto& stack : stacks_) settings_.push_back(settings_of_(stack->name(), layers));
    if (options_.method == MergeMethod::kTies && !options_.trims_tensors)
      rule_.thresholds =
          model_thresholds(stacks_, density_of(options_, 0), rule_.threads, options_.model_files);
  }
  /// Tensor `index`, as a storage that is computed while it is written.
  std::shared_ptr<const compat::Storage> result(std::size_t index, compat::DType dtype,
                                                std::function<void(std::int64_t)> written) const;

 private:
  /// FormatError that names the model, or the result, whose piece of a tensor is not finite.
  void refuse_diverged(const std::string& tensor, std::span<const double> weights, Models inputs,
                       std::span<const float> out, compat::DType dtype) const;

  const MergeOptions& options_;
  SettingsOf settings_of_;
  MergeRule rule_;
  std::vector<std::unique_ptr<TensorStack>> stacks_;  ///< The models in order, then the base.
  std::vector<TensorSettings> settings_;              ///< Of each of them.
};

/// The least magnitude that rounds to infinity.
float overflow_of(compat::DType dtype) noexcept {
  return dtype == compat::DType::kFloat16    ? 65520.0f
         : dtype == compat::DType::kBFloat16 ? 0x1.ffp127f
                                             : INFINITY;
}

void Merge::refuse_diverged(const std::string& tensor, std::span<const double> weights,
                            Models inputs, std::span<const float> out, compat::DType dtype) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool counts =
        i >= weights.size() || options_.method != MergeMethod::kLinear || weights[i] != 0;
    if (counts && compat::first_not_finite(std::as_bytes(inputs[i]), compat::DType::kFloat32))
      throw compat::FormatError(
          {(i < weights.size() ? options_.model_files[i] : options_.base_model).string(), {}, {}},
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
        const TensorSettings& settings = settings_[index];
        const Combine combine = combine_of(stack, settings, rule_, options_.output);
        const auto merge = [&](std::size_t piece, const PieceInputs& inputs,
                               std::span<float> sums) {
          combine(piece, inputs.values, sums);
          refuse_diverged(stack.name(), settings.weights, inputs.values, sums, dtype);
        };
        std::size_t next = 0;
        compat::ordered_map<std::size_t, std::vector<std::byte>>(
            stack.pieces() <= 1 ? 1 : static_cast<std::size_t>(rule_.threads),
            [&](std::size_t& piece) { return (piece = next++) < stack.pieces(); },
            [&](std::size_t, std::size_t piece, std::vector<std::byte>& bytes) {
              const PieceInputs inputs(stack, piece);
              const std::size_t size = inputs.values.front().size();
              if (dtype == compat::DType::kFloat32) {
                bytes.resize(size * sizeof(float));
                merge(piece, inputs, {reinterpret_cast<float*>(bytes.data()), size});
              } else {
                std::vector<float> sums(size);
                merge(piece, inputs, sums);
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

MergeReport merge_checkpoints(const MergeOptions& options, const MergeProgress& progress,
                              const MergedRoot& root_of) {
  MergeReport report;
  if (!options.settings_of) report.weights = resolved_weights(options);
  const std::vector<Checkpoint> models = open_checked(options);
  const Checkpoint& first = models.front();
  const bool tied = is_tied(first);
  Merge merge(
      options,
      options.settings_of ? options.settings_of : settings_from(options, report.weights, tied),
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
    merge.add(name, std::move(views));
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
  if (!takes_weights(options.method)) report.weights.clear();
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
