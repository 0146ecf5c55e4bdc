#include "btm/trainer/forward_backward.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <optional>

#include "btm/model/ids_tensor.h"
#include "btm/trainer/adaptive_loss.h"

namespace btm {
namespace {

at::Tensor copy_to(const std::vector<std::int64_t>& values, at::Device device) {
  const at::Tensor view = ids_tensor(values);
  return device.is_cpu() ? view.clone() : view.to(device);
}

/// [N, decoder_output_dim] of the scored columns.
at::Tensor scored_rows(const DeviceBatch& batch, const at::Tensor& features) {
  const at::Tensor rows = features.reshape({-1, features.size(-1)});
  return batch.places.defined() ? rows.index_select(0, batch.places) : rows;
}

/// A copy without history, from which autograd starts anew.
at::Tensor new_leaf(const at::Tensor& x) { return x.detach().set_requires_grad(true); }

/// The state of the device's random generator, from which dropout draws.
at::Generator generator_of(const at::Tensor& x) {
  return at::globalContext().defaultGenerator(x.device());
}

}  // namespace

/// A part of the network that is differentiated separately: its input, its output and its slots.
struct ForwardBackward::Stage {
  std::size_t first_slot = 0, last_slot = 0;
  at::Tensor input, output;  ///< output is undefined if the backward pass computes it again
  std::optional<std::size_t> layer;
  at::Tensor random_state;  ///< before the forward pass, if the backward pass repeats it
  RoutingRecord routing;    ///< of the graph, if the layer is a mixture
};

DeviceBatch to_device(const Batch& batch, at::Device device) {
  DeviceBatch out;
  out.tokens = copy_to(batch.tokens, device).view({batch.rows, batch.columns});
  std::vector<std::int64_t> places, targets;
  // Unlike evaluation, training counts the targets before first_scored, too: --add-bos-token's.
  for (std::size_t at = 0; at < batch.size(); ++at) {
    if (batch.targets[at] == batch.pad) continue;
    places.push_back(static_cast<std::int64_t>(at));
    targets.push_back(batch.targets[at]);
  }
  if (places.size() != batch.targets.size()) out.places = copy_to(places, device);
  out.targets = copy_to(targets, device);
  out.interior_padding = has_interior_padding(batch);
  out.ids = batch.ids;
  out.num_tokens = batch.num_tokens;
  out.num_sentences = batch.rows;
  return out;
}

ForwardBackward::ForwardBackward(const TransformerLM& model, const FlatParameters& flat,
                                 const TrainingSwitches& switches)
    : model_(model), flat_(flat), switches_(switches), layer_slots_(model.num_layers() + 1, 0) {
  const std::string prefix = "decoder.layers.";
  std::size_t end = 0;
  for (std::size_t i = 0; i < flat.slots().size(); ++i) {
    const std::string& name = flat.slots()[i].name;
    if (name == "decoder.output_projection.weight") output_slot_ = i;
    if (!name.starts_with(prefix)) continue;
    const auto layer = static_cast<std::size_t>(std::stoul(name.substr(prefix.size())));
    if (end == 0 || i == end) end = i + 1;
    if (layer_slots_[layer] == 0) layer_slots_[layer] = i;
  }
  layer_slots_.back() = end;
  for (std::size_t i = 0; i < model.num_layers(); ++i) mixtures_ += model.is_mixture(i) ? 1 : 0;
}

/// The layer of a stage over its input.
at::Tensor ForwardBackward::layer_of(Stage& stage, const at::Tensor& mask,
                                     const DeviceBatch& batch) const {
  stage.routing = {};
  stage.routing.places = batch.places;
  return model_.layer(*stage.layer, stage.input, mask, switches_.dropout,
                      model_.is_mixture(*stage.layer) ? &stage.routing : nullptr);
}

/// Through a stage's graph, with the losses of its router.
void ForwardBackward::backward(Stage& stage, const at::Tensor& gradient, double loss_scale,
                               RouterStats* routers) const {
  const RoutingRecord& routing = stage.routing;
  if (!routing.balance.defined()) {
    // Where everything before the layers is frozen, there is no graph.
    if (stage.output.requires_grad()) stage.output.backward(gradient);
    return;
  }
  const auto tokens = static_cast<double>(routing.tokens), layers = static_cast<double>(mixtures_);
  torch::autograd::variable_list roots{stage.output}, gradients{gradient};
  for (const auto& [loss, weight] : {std::pair(routing.balance, switches_.balance_loss),
                                     std::pair(routing.z, switches_.z_loss)}) {
    if (weight == 0 || tokens == 0) continue;
    roots.push_back(loss);
    gradients.push_back(at::full({}, loss_scale * weight * tokens / layers, loss.options()));
  }
  torch::autograd::backward(roots, gradients);
  if (routers == nullptr || tokens == 0) return;
  RouterStats stats;
  stats.balance = routing.balance.item<double>() * tokens / layers;
  stats.z = routing.z.item<double>() * tokens / layers;
  std::size_t row = 0;
  for (std::size_t i = 0; i < *stage.layer; ++i) row += model_.is_mixture(i) ? 1 : 0;
  stats.loads.resize(row + 1);
  const at::Tensor loads = routing.loads.to(at::kDouble).cpu();
  stats.loads[row].assign(loads.const_data_ptr<double>(),
                          loads.const_data_ptr<double>() + loads.numel());
  routers->add(stats);
}

/// features and their gradient are [B, T, decoder_output_dim].
CrossEntropyGradient ForwardBackward::backward_from_loss(const DeviceBatch& batch,
                                                         const at::Tensor& features,
                                                         double loss_scale) const {
  const at::Tensor rows = scored_rows(batch, features);
  CrossEntropyGradient loss =
      model_.config().has_adaptive_softmax()
          ? adaptive_loss_backward(rows, model_.adaptive_softmax(), batch.targets, loss_scale,
                                   switches_.adaptive_softmax_dropout)
          : cross_entropy_backward(rows, model_.output(), batch.targets, loss_scale,
                                   flat_.view(flat_.gradients(), output_slot_),
                                   switches_.label_smoothing);
  if (batch.places.defined()) {
    const at::Tensor all = at::zeros_like(features).view({-1, features.size(-1)});
    loss.features = all.index_copy_(0, batch.places, loss.features);
  }
  loss.features = loss.features.view(features.sizes());
  return loss;
}

LossSums ForwardBackward::run(const DeviceBatch& batch, double loss_scale, bool last,
                              RouterStats* routers) const {
  const at::AutoGradMode grad(true);
  const std::size_t layers = model_.num_layers(), slots = flat_.slots().size();
  std::vector<Stage> stages;
  stages.reserve(layers + 2);
  const at::Tensor mask = TransformerLM::attention_mask(batch.tokens, batch.interior_padding);
  stages.push_back({0,
                    layer_slots_.front(),
                    {},
                    model_.embedded(batch.tokens, switches_.dropout, batch.interior_padding),
                    std::nullopt,
                    {},
                    {}});
  at::Tensor x = stages.back().output;
  const bool repeat = switches_.checkpoint_activations;
  for (std::size_t i = 0; i < layers; ++i) {
    if (switches_.decoder_layerdrop > 0 &&
        at::rand({1}).item<double>() < switches_.decoder_layerdrop)
      continue;
    Stage stage{layer_slots_[i], layer_slots_[i + 1], new_leaf(x), {}, i, {}, {}};
    if (repeat) {
      stage.random_state = generator_of(x).get_state();
      const at::NoGradGuard no_grad;
      x = model_.layer(i, stage.input, mask, switches_.dropout);
    } else {
      x = stage.output = layer_of(stage, mask, batch);
    }
    stages.push_back(std::move(stage));
  }
  Stage end{layer_slots_.back(), slots, new_leaf(x), {}, std::nullopt, {}, {}};
  x = end.output = model_.finished(end.input);
  stages.push_back(std::move(end));

  const CrossEntropyGradient sums = backward_from_loss(batch, x.detach(), loss_scale);
  at::Tensor gradient = sums.features;
  if (routers != nullptr && mixtures_ > 0)
    routers->tokens += static_cast<double>(batch.targets.numel());
  x.reset();
  std::size_t announced = slots;
  for (; !stages.empty(); stages.pop_back()) {
    Stage& stage = stages.back();
    if (!stage.output.defined()) {
      at::Generator generator = generator_of(stage.input);
      const at::Tensor after = generator.get_state();
      generator.set_state(stage.random_state);
      stage.output = layer_of(stage, mask, batch);
      generator.set_state(after);
    }
    backward(stage, gradient, loss_scale, routers);
    gradient = stage.input.defined() ? stage.input.grad() : at::Tensor();
    // A layer that was left out has no stage; it is announced with the next one.
    if (last) flat_.announce(stage.first_slot, announced);
    announced = stage.first_slot;
  }
  return {sums.loss.item<double>(),
          sums.nll.item<double>()};  // last, so that a GPU keeps working until here
}

LossSums ForwardBackward::evaluate(const DeviceBatch& batch) const {
  const at::NoGradGuard no_grad;
  const at::Tensor mask = TransformerLM::attention_mask(batch.tokens, batch.interior_padding);
  at::Tensor x = model_.embedded(batch.tokens, {}, batch.interior_padding);
  for (std::size_t i = 0; i < model_.num_layers(); ++i) x = model_.layer(i, x, mask, {});
  const at::Tensor rows = scored_rows(batch, model_.finished(x));
  if (switches_.label_smoothing > 0)
    return smoothed_cross_entropy(rows, model_.output(), batch.targets, switches_.label_smoothing);
  const double loss = model_.config().has_adaptive_softmax()
                          ? adaptive_loss(rows, model_.adaptive_softmax(), batch.targets)
                          : cross_entropy(rows, model_.output(), batch.targets);
  return {loss, loss};
}

}  // namespace btm
