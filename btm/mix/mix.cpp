#include "btm/mix/mix.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <utility>

#include "btm/merge/merge_inputs.h"
#include "btm/merge/merge_options.h"
#include "btm/mix/mixture_tensors.h"
#include "btm/mix/router_start.h"
#include "btm/model/active_parameters.h"
#include "btm/model/tensor_bridge.h"
#include "btm/model/weights.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"
#include "compat/torch/finite.h"

namespace btm {
namespace {

using compat::Checkpoint;
using compat::FormatError;
using compat::NamedTensors;
using compat::TensorView;
using compat::UsageError;

std::vector<std::string> names_of(const std::vector<compat::NamedModel>& models) {
  std::vector<std::string> names;
  for (const compat::NamedModel& model : models) names.push_back(model.name);
  return names;
}

std::string names_text(const std::vector<std::string>& names) {
  return names.empty() ? "no names" : compat::join(names, ", ", [](const std::string& name) {
    return compat::printable(name, 60);
  });
}

/// A tensor as floats. FormatError when an element is not finite.
std::vector<float> floats_of(const Checkpoint& model, const std::string& name) {
  const TensorView* const view = model.find(name);
  if (view == nullptr || view->shape.size() != 2)
    throw FormatError({model.path(), "model", {}},
                      "has no matrix '" + name + "', expected a mixture of experts");
  std::vector<std::byte> scratch;
  compat::check_finite(view->contiguous_bytes(scratch), view->dtype(), model.path(), name);
  const at::Tensor values = to_tensor(*view, at::kFloat, at::kCPU).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// The routers of `file`, with the rows of the experts called `names` in their order.
std::vector<TensorView> routers_of(const std::filesystem::path& path,
                                   const std::vector<std::string>& names, std::size_t layers,
                                   std::int64_t width) {
  const Checkpoint file = Checkpoint::open(compat::resolve_model(path).path);
  const TransformerConfig config = TransformerConfig::from(file.config());
  if (config.moe_freq == 0)
    throw FormatError({file.path(), {}, {}}, "has no routers, expected a mixture of experts");
  std::vector<std::size_t> rows;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(config.moe_experts, name);
    if (found == config.moe_experts.end())
      throw FormatError(
          {file.path(), {}, {}},
          compat::concat("has the routers of other experts (", names_text(config.moe_experts),
                         "), expected one called ", compat::printable(name, 60)));
    rows.push_back(static_cast<std::size_t>(found - config.moe_experts.begin()));
  }
  std::vector<TensorView> gates;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const std::vector<float> all = floats_of(file, gate_tensor(layer));
    const std::size_t columns = all.size() / static_cast<std::size_t>(config.moe_expert_count);
    if (std::cmp_not_equal(columns, width))
      throw FormatError(
          {file.path(), "model", {}},
          compat::concat("'", gate_tensor(layer), "' has rows of ", columns, ", expected ", width));
    std::vector<float> chosen;
    for (const std::size_t row : rows)
      chosen.insert(chosen.end(), all.begin() + static_cast<std::ptrdiff_t>(row * columns),
                    all.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
    gates.push_back(matrix_view(chosen, std::ssize(names), width));
  }
  return gates;
}

std::vector<TensorView> views_of(const std::vector<std::vector<float>>& gates, std::size_t experts,
                                 std::int64_t width) {
  std::vector<TensorView> views;
  for (const std::vector<float>& gate : gates)
    views.push_back(matrix_view(gate, static_cast<std::int64_t>(experts), width));
  return views;
}

std::int64_t width_of(const Checkpoint& dense) {
  return dense.find(block_tensor(0, "fc1.weight"))->shape[1];
}

/// The counts of the mixture with these settings.
MixReport report_of(const TransformerConfig& config, std::int64_t vocabulary) {
  const TransformerLM model(config, vocabulary);
  MixReport report;
  report.routing = routing_name(config.routing);
  report.experts = static_cast<std::size_t>(config.moe_expert_count);
  report.parameters = model.num_parameters();
  report.active = active_parameters(model);
  for (std::int64_t i = 0; i < config.decoder_layers; ++i)
    if (config.is_mixture(i)) ++report.layers;
  return report;
}

TransformerConfig config_of(const Checkpoint& like, const compat::ConfigValue& settings) {
  return TransformerConfig::from(compat::Config(settings, like.path()));
}

std::int64_t vocabulary_of(const Checkpoint& model) {
  const TensorView* const embedding = model.find("decoder.embed_tokens.weight");
  if (embedding == nullptr || embedding->shape.empty())
    throw FormatError({model.path(), "model", {}}, "has no tensor 'decoder.embed_tokens.weight'");
  return embedding->shape.front();
}

/// The gates of a new mixture. `shared` are the averaged tensors.
std::vector<TensorView> new_gates(const MixOptions& options, const Checkpoint& first,
                                  const NamedTensors& shared, std::span<const Checkpoint> experts,
                                  const TransformerConfig& config, std::size_t layers) {
  const std::int64_t width = width_of(first);
  const std::size_t count = experts.size();
  if (!options.router_from.empty())
    return routers_of(options.router_from, names_of(options.experts), layers, width);
  if (options.router == RouterStart::kRandom) {
    std::mt19937_64 random(options.seed);
    std::vector<std::vector<float>> gates;
    for (std::size_t layer = 0; layer < layers; ++layer)
      gates.push_back(uniform_rows(random, static_cast<std::int64_t>(count) * width,
                                   1 / std::sqrt(static_cast<double>(width))));
    return views_of(gates, count, width);
  }
  const std::vector<std::vector<float>> zeros(
      layers, std::vector<float>(count * static_cast<std::size_t>(width)));
  const NamedTensors tensors = mixed_tensors(shared, experts, views_of(zeros, count, width));
  return views_of(routers_from_text(config, tensors, options.experts, options.router, options.data,
                                    options.machine),
                  count, width);
}

}  // namespace

bool is_mixture(const std::filesystem::path& path) {
  return compat::has_mixtures(Checkpoint::open(path).config());
}

MixReport mix_experts(const MixOptions& options) {
  if (options.experts.empty()) throw UsageError("no experts to mix");
  MergeOptions merge;
  for (const compat::NamedModel& expert : options.experts) merge.model_files.push_back(expert.path);
  merge.weights = options.weights;
  merge.output = options.output;
  merge.num_threads = static_cast<int>(std::min<std::int64_t>(options.machine.num_threads, 1024));
  MixReport report;
  merge_checkpoints(merge, {},
                    [&](compat::PickleArena& arena, const NamedTensors& shared,
                        std::span<const Checkpoint> experts) {
                      const Checkpoint& first = experts.front();
                      const std::size_t layers = dense_layers(first);
                      for (const Checkpoint& expert : experts) {
                        dense_layers(expert);
                        check_blocks_finite(expert, layers);
                      }
                      const compat::ConfigValue settings = mixture_settings(
                          first.config(), names_of(options.experts), options.routing);
                      const TransformerConfig config = config_of(first, settings);
                      report = report_of(config, vocabulary_of(first));
                      const std::vector<TensorView> gates =
                          new_gates(options, first, shared, experts, config, layers);
                      return untrained_root(arena, settings, first.config().is_flat(),
                                            mixed_tensors(shared, experts, gates));
                    });
  return report;
}

namespace {

/// An expert of a mixture to be written: one that it has, or a dense model.
struct Source {
  std::string name;
  std::optional<std::size_t> place;
  const Checkpoint* dense = nullptr;
};

/// FormatError unless the dense model's blocks can be experts of the mixture.
void check_fits(const Checkpoint& dense, const Checkpoint& mixture,
                const TransformerConfig& config) {
  compat::check_same_dictionary(dense.dictionary(), mixture.dictionary());
  const std::size_t layers = dense_layers(dense);
  if (std::cmp_not_equal(layers, config.decoder_layers))
    throw FormatError({dense.path(), {}, {}},
                      compat::concat("has ", layers, " layers, expected ", config.decoder_layers));
  check_blocks_finite(dense, layers);
  for (std::size_t layer = 0; layer < layers; ++layer)
    for (const char* const part : kBlockTensors) {
      const std::vector<std::int64_t>&found = dense.find(block_tensor(layer, part))->shape,
            &expected = mixture.find(expert_tensor(layer, 0, part))->shape;
      if (found != expected)
        throw FormatError(
            {dense.path(), "model", {}},
            compat::concat("'", block_tensor(layer, part), "' is ", compat::shape_text(found),
                           ", expected ", compat::shape_text(expected)));
    }
  TransformerConfig like = TransformerConfig::from(dense.config());
  like.moe_freq = config.moe_freq;
  like.routing = config.routing;
  if (const std::string setting = differing_setting(like, config); !setting.empty())
    throw FormatError({dense.path(), {}, {}}, setting);
}

/// The rows of the new experts in each layer's router, [added * width].
std::vector<std::vector<float>> added_rows(const Checkpoint& mixture, const RemixOptions& options,
                                           const std::vector<Source>& sources, std::size_t layers,
                                           std::size_t width) {
  const std::size_t added = options.add.size();
  if (added == 0) return std::vector<std::vector<float>>(layers);
  if (options.router == RouterStart::kDomain) {
    std::vector<std::string> domains;
    for (const Source& source : sources) domains.push_back(source.name);
    return added_rows_from_text(mixture, domains, added, options.data, options.machine);
  }
  std::mt19937_64 random(options.seed);
  std::vector<std::vector<float>> rows;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const std::vector<float> gate = floats_of(mixture, gate_tensor(layer));
    double squares = 0;
    for (const float value : gate) squares += static_cast<double>(value) * value;
    // A uniform number in +-b has the mean square b^2 / 3.
    const double bound = std::sqrt(3 * squares / static_cast<double>(gate.size()));
    rows.push_back(uniform_rows(random, static_cast<std::int64_t>(added * width), bound));
  }
  return rows;
}

/// The rows of a layer's router: those that stay, then `added`.
std::vector<float> remixed_gate(const Checkpoint& mixture, std::size_t layer,
                                const std::vector<Source>& sources, std::size_t width,
                                const std::vector<float>& added) {
  const std::vector<float> gate = floats_of(mixture, gate_tensor(layer));
  std::vector<float> rows;
  for (const Source& source : sources) {
    if (source.dense != nullptr) continue;
    const auto from = gate.begin() + static_cast<std::ptrdiff_t>(*source.place * width);
    rows.insert(rows.end(), from, from + static_cast<std::ptrdiff_t>(width));
  }
  rows.insert(rows.end(), added.begin(), added.end());
  return rows;
}

/// `added`: as added_rows() has them.
NamedTensors remixed_tensors(const Checkpoint& mixture, const std::vector<Source>& sources,
                             std::size_t width, const std::vector<std::vector<float>>& added) {
  const std::size_t layers = added.size();
  NamedTensors tensors;
  for (const auto& [name, view] : mixture.model()) {
    if (name.find(".moe_layer.experts.") != std::string::npos) continue;
    std::size_t layer = 0;
    while (layer < layers && name != gate_tensor(layer)) ++layer;
    if (layer == layers) {
      tensors.emplace_back(name, view);
      continue;
    }
    tensors.emplace_back(name,
                         matrix_view(remixed_gate(mixture, layer, sources, width, added[layer]),
                                     std::ssize(sources), static_cast<std::int64_t>(width)));
    for (std::size_t e = 0; e < sources.size(); ++e)
      for (const char* const part : kBlockTensors)
        tensors.emplace_back(expert_tensor(layer, e, part),
                             sources[e].dense != nullptr
                                 ? *sources[e].dense->find(block_tensor(layer, part))
                                 : *mixture.find(expert_tensor(layer, *sources[e].place, part)));
  }
  return tensors;
}

/// FormatError for a mixture whose tensors do not fit its settings, or are not finite.
void check_whole(const Checkpoint& mixture, const TransformerConfig& config) {
  TransformerLM model(config, vocabulary_of(mixture));
  check_weights(model, mixture.model(), mixture.path());
  std::vector<std::byte> scratch;
  for (const auto& [name, view] : mixture.model()) {
    if (compat::is_unset_buffer(name)) continue;
    compat::check_finite(view.contiguous_bytes(scratch), view.dtype(), mixture.path(), name);
    view.storage->release_pages();
  }
}

std::vector<Source> kept_experts(const TransformerConfig& config,
                                 const compat::ExpertChoice& choice) {
  std::vector<std::string> names = config.moe_experts;
  if (names.empty())
    for (std::int64_t e = 0; e < config.moe_expert_count; ++e) names.push_back(std::to_string(e));
  std::vector<Source> sources;
  for (const std::string& name : compat::chosen_experts(names, choice))
    sources.push_back(
        {name, static_cast<std::size_t>(std::ranges::find(names, name) - names.begin()), nullptr});
  return sources;
}

}  // namespace

MixReport remix(const RemixOptions& options) {
  if (options.router == RouterStart::kPosterior)
    throw UsageError(
        "--router posterior needs the experts' dense models, which a mixture does not "
        "hold, expected random or domain");
  std::vector<Checkpoint> models = open_models(std::vector<std::filesystem::path>{options.mixture});
  for (const compat::NamedModel& model : options.add)
    models.push_back(Checkpoint::open(model.path));
  refuse_input_as_output(options.output, models);
  const Checkpoint& mixture = models.front();
  const TransformerConfig config = TransformerConfig::from(mixture.config());
  if (config.moe_freq != 1)
    throw FormatError({mixture.path(), {}, {}},
                      "is no mixture with experts in every layer, expected one of btm mix");
  check_whole(mixture, config);
  std::vector<Source> sources = kept_experts(config, options.choice);
  for (std::size_t i = 0; i < options.add.size(); ++i) {
    const std::string& name = options.add[i].name;
    if (std::ranges::find(sources, name, &Source::name) != sources.end())
      throw UsageError("the mixture has an expert called '" + compat::printable(name) +
                       "' (NAME=MODEL gives another name)");
    check_fits(models[i + 1], mixture, config);
    sources.push_back({name, std::nullopt, &models[i + 1]});
  }
  std::vector<std::string> names;
  for (const Source& source : sources) names.push_back(source.name);
  const compat::ConfigValue settings = mixture_settings(mixture.config(), names, config.routing);
  const auto layers = static_cast<std::size_t>(config.decoder_layers),
             width = static_cast<std::size_t>(config.decoder_embed_dim);
  const std::vector<std::vector<float>> added =
      added_rows(mixture, options, sources, layers, width);
  compat::PickleArena arena;
  const compat::PickleNode* root = untrained_root(arena, settings, mixture.config().is_flat(),
                                                  remixed_tensors(mixture, sources, width, added));
  root = compat::with_dictionary(arena, *compat::with_history(arena, *root),
                                 mixture.dictionary().sha256);
  compat::save_checkpoint(options.output, *root);
  return report_of(config_of(mixture, settings), vocabulary_of(mixture));
}

}  // namespace btm
