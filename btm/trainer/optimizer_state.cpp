#include "btm/trainer/optimizer_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>

#include "btm/model/tensor_bridge.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

using compat::PickleArena;
using compat::PickleDict;
using compat::PickleNode;

PickleNode* entry(PickleArena& arena, std::int64_t steps, const at::Tensor& exp_avg,
                  const at::Tensor& exp_avg_sq) {
  PickleDict dict;
  arena.put(dict, "step", arena.integer(steps));
  arena.put(dict, "exp_avg", arena.tensor(to_view(exp_avg)));
  arena.put(dict, "exp_avg_sq", arena.tensor(to_view(exp_avg_sq)));
  return arena.make(std::move(dict));
}

at::Tensor end_to_end(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& part : parts) flat.push_back(part.view(-1));
  return at::cat(flat);
}

/// Reads one file's optimizer state, with errors that name it.
class Reader {
 public:
  Reader(ParameterOptimizer& optimizer, const std::string& file)
      : optimizer_(optimizer), file_(file) {}

  void read(const PickleNode& state, const compat::ConfigValue& overrides) {
    const auto* groups = list_of(state, "param_groups");
    if (groups->items.empty()) fail("param_groups", "is empty");
    read_options(*groups->items.front(), overrides);
    std::vector<std::int64_t> order;  // the entries of the parameters, in their order
    for (const PickleNode* group : groups->items)
      for (const PickleNode* index : list_of(*group, "params")->items)
        order.push_back(integer_of(index, "param_groups.params"));
    const PickleNode* const entries = state.find("state");
    const auto* dict = entries != nullptr ? entries->get_if<PickleDict>() : nullptr;
    if (dict == nullptr) fail("state", "is missing, expected a dict of entries per parameter");
    if (dict->items.empty()) return;  // saved before the first update
    const std::size_t slots = optimizer_.flat().slots().size();
    if (order.size() != 1 && order.size() != slots)
      fail("param_groups",
           compat::concat("names ", order.size(), " parameters, the model has ", slots));
    for (std::size_t i = 0; i < order.size(); ++i)
      read_entry(*dict, order[i], i, order.size() == 1 && slots != 1, *groups->items.front());
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& problem) const {
    throw compat::FormatError({file_, "last_optimizer_state." + where, {}}, problem);
  }
  const compat::PickleList* list_of(const PickleNode& node, const char* key) const {
    const PickleNode* const found = node.find(key);
    const auto* list = found != nullptr ? found->get_if<compat::PickleList>() : nullptr;
    if (list == nullptr)
      fail(key, found == nullptr ? "is missing" : "is " + found->describe() + ", expected a list");
    return list;
  }
  std::int64_t integer_of(const PickleNode* node, const char* where) const {
    if (const auto* number = node->get_if<std::int64_t>()) return *number;
    if (const auto* tensor = node->get_if<compat::PickleTensor>();
        tensor != nullptr && tensor->view.numel() == 1)
      return to_tensor(tensor->view, at::kDouble, at::kCPU).to(at::kLong).item<std::int64_t>();
    fail(where, "holds " + node->describe() + ", expected an int");
  }
  double real_of(const PickleNode* node, const char* where, double fallback) const {
    if (node == nullptr || node->is_none()) return fallback;
    if (const auto* number = node->get_if<double>()) return *number;
    return static_cast<double>(integer_of(node, where));
  }

  void read_options(const PickleNode& group, const compat::ConfigValue& overrides) {
    AdamOptions options = optimizer_.adam().options();
    if (const PickleNode* betas = group.find("betas"); betas != nullptr) {
      const auto* tuple = betas->get_if<compat::PickleTuple>();
      const auto* list = betas->get_if<compat::PickleList>();
      const std::vector<PickleNode*>* items = tuple != nullptr  ? &tuple->items
                                              : list != nullptr ? &list->items
                                                                : nullptr;
      if (items == nullptr || items->size() != 2)
        fail("param_groups.betas", "is " + betas->describe() + ", expected two numbers");
      options.beta1 = real_of((*items)[0], "param_groups.betas", 0);
      options.beta2 = real_of((*items)[1], "param_groups.betas", 0);
    }
    options.eps = real_of(group.find("eps"), "param_groups.eps", options.eps);
    options.weight_decay =
        real_of(group.find("weight_decay"), "param_groups.weight_decay", options.weight_decay);
    const compat::Config given({compat::ConfigValue::Dict{{"overrides", overrides}}},
                               "--optimizer-overrides");
    options.eps = given.get_float("overrides", "eps", options.eps);
    options.weight_decay = given.get_float("overrides", "weight_decay", options.weight_decay);
    optimizer_.adam().set_options(options);
  }

  const compat::TensorView& tensor_of(const PickleNode& node, const std::string& where,
                                      const char* key, std::int64_t numel) const {
    const PickleNode* const found = node.find(key);
    const auto* tensor = found != nullptr ? found->get_if<compat::PickleTensor>() : nullptr;
    if (tensor == nullptr)
      fail(where + "." + key,
           found == nullptr ? "is missing" : "is " + found->describe() + ", expected a tensor");
    if (tensor->view.numel() != numel)
      fail(where + "." + key,
           compat::concat("has ", tensor->view.numel(), " elements, the model has ", numel));
    if (!at::isFloatingType(scalar_type(tensor->view.dtype())))
      fail(where + "." + key, "holds " + std::string(compat::dtype_name(tensor->view.dtype())) +
                                  ", expected floating point");
    return tensor->view;
  }

  void read_entry(const PickleDict& entries, std::int64_t index, std::size_t slot, bool whole,
                  const PickleNode& group) {
    const std::string where = compat::concat("state[", index, ']');
    const auto found = std::ranges::find_if(entries.items, [&](const auto& item) {
      const auto* key = item.first->template get_if<std::int64_t>();
      return key != nullptr && *key == index;
    });
    if (found == entries.items.end()) fail(where, "is missing");
    const PickleNode& node = *found->second;
    const PickleNode* step = node.find("step");
    if (step == nullptr) step = group.find("step");  // apex's FusedAdam keeps it in the group
    if (step == nullptr) fail(where + ".step", "is missing");
    optimizer_.adam().set_steps(integer_of(step, "state.step"));
    const FlatParameters& flat = optimizer_.flat();
    std::int64_t numel = 0;
    for (const auto& part : flat.slots()) numel += part.numel;
    for (const char* const key : {"exp_avg", "exp_avg_sq"}) {
      const at::Tensor& moments = key == std::string_view("exp_avg")
                                      ? optimizer_.adam().exp_avg()
                                      : optimizer_.adam().exp_avg_sq();
      const compat::TensorView& view =
          tensor_of(node, where, key, whole ? numel : flat.slots()[slot].numel);
      const at::Tensor values = to_tensor(view, at::kFloat, moments.device()).reshape({-1});
      if (!whole) {
        flat.view(moments, slot).view(-1).copy_(values);
        continue;
      }
      std::int64_t at = 0;
      for (std::size_t i = 0; i < flat.slots().size(); at += flat.slots()[i++].numel)
        flat.view(moments, i).view(-1).copy_(values.narrow(0, at, flat.slots()[i].numel));
    }
  }

  ParameterOptimizer& optimizer_;
  const std::string& file_;
};

}  // namespace

std::vector<at::Tensor> snapshot(const FlatParameters& flat, const at::Tensor& buffer) {
  const at::NoGradGuard no_grad;
  const at::Tensor copy = buffer.to(at::TensorOptions().device(at::kCPU).dtype(at::kFloat),
                                    /*non_blocking=*/false, /*copy=*/true);
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < flat.slots().size(); ++i) parts.push_back(flat.view(copy, i));
  return parts;
}

PickleNode* optimizer_state(PickleArena& arena, const ParameterOptimizer& optimizer, double lr) {
  const Adam& adam = optimizer.adam();
  const std::vector<at::Tensor> exp_avg = snapshot(optimizer.flat(), adam.exp_avg());
  const std::vector<at::Tensor> exp_avg_sq = snapshot(optimizer.flat(), adam.exp_avg_sq());
  PickleDict entries;
  compat::PickleList indices;
  if (optimizer.precision().flat_state) {
    indices.items.push_back(arena.integer(0));
    entries.items.emplace_back(
        arena.integer(0), entry(arena, adam.steps(), end_to_end(exp_avg), end_to_end(exp_avg_sq)));
  } else {
    for (std::size_t i = 0; i < exp_avg.size(); ++i) {
      indices.items.push_back(arena.integer(static_cast<std::int64_t>(i)));
      entries.items.emplace_back(arena.integer(static_cast<std::int64_t>(i)),
                                 entry(arena, adam.steps(), exp_avg[i], exp_avg_sq[i]));
    }
  }
  if (adam.steps() == 0) entries.items.clear();  // fairseq makes entries at the first update
  PickleDict group;
  arena.put(group, "lr", arena.real(lr));
  arena.put(group, "betas",
            arena.make(compat::PickleTuple{
                {arena.real(adam.options().beta1), arena.real(adam.options().beta2)}}));
  arena.put(group, "eps", arena.real(adam.options().eps));
  arena.put(group, "weight_decay", arena.real(adam.options().weight_decay));
  arena.put(group, "amsgrad", arena.boolean(false));
  arena.put(group, "params", arena.make(std::move(indices)));
  PickleDict state;
  arena.put(state, "state", arena.make(std::move(entries)));
  arena.put(state, "param_groups", arena.make(compat::PickleList{{arena.make(std::move(group))}}));
  if (optimizer.scaler() != nullptr)
    arena.put(state, "loss_scale", arena.real(optimizer.scaler()->loss_scale()));
  return arena.make(std::move(state));
}

void load_optimizer_state(ParameterOptimizer& optimizer, const PickleNode& state,
                          const compat::ConfigValue& overrides, const std::string& file) {
  const at::NoGradGuard no_grad;
  Reader(optimizer, file).read(state, overrides);
  const PickleNode* const scale = state.find("loss_scale");
  const auto* number = scale != nullptr ? scale->get_if<double>() : nullptr;
  if (number != nullptr && *number > 0 && optimizer.scaler() != nullptr)
    optimizer.scaler()->set_loss_scale(*number);
}

PickleNode* exact_state(PickleArena& arena, const ParameterOptimizer& optimizer) {
  if (!optimizer.precision().is_half()) return nullptr;
  PickleDict state;
  if (optimizer.masters().defined()) {
    const std::vector<at::Tensor> values = snapshot(optimizer.flat(), optimizer.masters());
    PickleDict masters;
    for (std::size_t i = 0; i < values.size(); ++i)
      masters.items.emplace_back(arena.string(optimizer.flat().slots()[i].name),
                                 arena.tensor(to_view(values[i])));
    arena.put(state, "fp32_params", arena.make(std::move(masters)));
  }
  if (optimizer.scaler() != nullptr) {
    const LossScaler::State& scaler = optimizer.scaler()->state();
    PickleDict counters;
    arena.put(counters, "loss_scale", arena.real(scaler.loss_scale));
    arena.put(counters, "iteration", arena.integer(scaler.iteration));
    arena.put(counters, "last_overflow", arena.integer(scaler.last_overflow));
    arena.put(counters, "last_rescale", arena.integer(scaler.last_rescale));
    arena.put(counters, "overflows_since_rescale", arena.integer(scaler.overflows_since_rescale));
    arena.put(state, "loss_scaler", arena.make(std::move(counters)));
  }
  return arena.make(std::move(state));
}

namespace {

void load_scaler(LossScaler& scaler, const PickleNode& counters) {
  LossScaler::State state = scaler.state();
  const auto integer = [&](const char* key, std::int64_t& field) {
    const PickleNode* const node = counters.find(key);
    if (const auto* number = node != nullptr ? node->get_if<std::int64_t>() : nullptr)
      field = *number;
  };
  // Two merged DeMIX files have no last_optimizer_state.loss_scale.
  const PickleNode* const scale = counters.find("loss_scale");
  if (const auto* number = scale != nullptr ? scale->get_if<double>() : nullptr;
      number != nullptr && *number > 0)
    state.loss_scale = *number;
  integer("iteration", state.iteration);
  integer("last_overflow", state.last_overflow);
  integer("last_rescale", state.last_rescale);
  integer("overflows_since_rescale", state.overflows_since_rescale);
  scaler.restore(state);
}

}  // namespace

bool load_exact_state(ParameterOptimizer& optimizer, const PickleNode& state,
                      const std::string& file) {
  const at::NoGradGuard no_grad;
  if (const PickleNode* counters = state.find("loss_scaler");
      counters != nullptr && optimizer.scaler() != nullptr)
    load_scaler(*optimizer.scaler(), *counters);
  const PickleNode* const masters = state.find("fp32_params");
  if (masters == nullptr || !optimizer.masters().defined()) return true;
  const FlatParameters& flat = optimizer.flat();
  std::vector<at::Tensor> values;
  for (std::size_t i = 0; i < flat.slots().size(); ++i) {
    const PickleNode* const node = masters->find(flat.slots()[i].name);
    const auto* tensor = node != nullptr ? node->get_if<compat::PickleTensor>() : nullptr;
    if (tensor == nullptr || tensor->view.shape != flat.slots()[i].shape ||
        tensor->view.dtype() != compat::DType::kFloat32)
      throw compat::FormatError({file, "extra_state.btm.fp32_params." + flat.slots()[i].name, {}},
                                "is missing or of another shape than the model's");
    values.push_back(to_tensor(tensor->view, at::kFloat, flat.values().device()));
    const at::Tensor rounded = values.back().to(optimizer.precision().half).to(at::kFloat);
    if (!rounded.equal(flat.view(flat.values(), i).to(at::kFloat))) return false;
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    flat.view(optimizer.masters(), i).copy_(values[i]);
  optimizer.weights_replaced(/*keep_masters=*/true);
  return true;
}

}  // namespace btm
