#include "btm/trainer/optimizer_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "btm/model/tensor_bridge.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/config_json.h"

namespace btm {
namespace {

using compat::ConfigValue;
using compat::PickleArena;
using compat::PickleDict;
using compat::PickleNode;

/// An entry for the given tensors, with the count of updates first where the kind has one.
PickleNode* entry(PickleArena& arena, const Optimizer& optimizer,
                  const std::vector<std::pair<std::string_view, at::Tensor>>& tensors) {
  PickleDict dict;
  const std::int64_t steps = optimizer.steps();
  if (optimizer.count() == Optimizer::Count::kInteger)
    arena.put(dict, "step", arena.integer(steps));
  if (optimizer.count() == Optimizer::Count::kTensor)
    arena.put(dict, "step", arena.tensor(to_view(at::full({}, steps, at::kFloat))));
  for (const auto& [key, tensor] : tensors)
    arena.put(dict, std::string(key), arena.tensor(to_view(tensor)));
  return arena.make(std::move(dict));
}

/// Those of frozen parameters, too.
std::vector<std::size_t> all_slots(const FlatParameters& flat) {
  std::vector<std::size_t> slots(flat.slots().size());
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
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

  void read(const PickleNode& state, const ConfigValue& overrides) {
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
    std::vector<std::size_t> of = entry_slots(optimizer_.flat());
    const bool whole = order.size() == 1 && slots != 1 && of.size() != 1;
    if (order.size() == slots) {  // frozen parameters have entries, too
      of = all_slots(optimizer_.flat());
    } else if (!whole && order.size() != of.size()) {
      fail("param_groups", compat::concat("names ", order.size(), " parameters, the model has ",
                                          slots, ", of which ", of.size(), " are trained"));
    }
    for (std::size_t i = 0; i < order.size(); ++i)
      read_entry(*dict, order[i], of.empty() ? 0 : of[i], whole, *groups->items.front());
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
  std::int64_t integer_of(const PickleNode* node, const std::string& where) const {
    if (const auto* number = node->get_if<std::int64_t>()) return *number;
    if (const auto* tensor = node->get_if<compat::PickleTensor>();
        tensor != nullptr && tensor->view.numel() == 1)
      return to_tensor(tensor->view, at::kDouble, at::kCPU).to(at::kLong).item<std::int64_t>();
    fail(where, "holds " + node->describe() + ", expected an int");
  }
  double real_of(const PickleNode* node, const std::string& where, double fallback) const {
    if (node == nullptr || node->is_none()) return fallback;
    if (const auto* number = node->get_if<double>()) return *number;
    return static_cast<double>(integer_of(node, where));
  }

  std::vector<double> two_of(const PickleNode& node, const std::string& where) const {
    const auto* tuple = node.get_if<compat::PickleTuple>();
    const auto* list = node.get_if<compat::PickleList>();
    const std::vector<PickleNode*>* items = tuple != nullptr  ? &tuple->items
                                            : list != nullptr ? &list->items
                                                              : nullptr;
    if (items == nullptr || items->size() != 2)
      fail(where, "is " + node.describe() + ", expected two numbers");
    return {real_of((*items)[0], where, 0), real_of((*items)[1], where, 0)};
  }

  /// The file's number for an option that has `now`.
  ConfigValue value_of(const PickleNode& node, const std::string& where,
                       const ConfigValue& now) const {
    if (std::holds_alternative<ConfigValue::List>(now.value)) {
      const std::vector<double> two = two_of(node, where);
      return {ConfigValue::List{{two[0]}, {two[1]}}};
    }
    if (const auto* flag = node.get_if<bool>()) return {*flag};
    if (node.is_none()) return {};
    return {real_of(&node, where, 0)};
  }

  /// What --optimizer-overrides gives for an option that has `now`.
  static ConfigValue overridden(const std::string& key, const ConfigValue& given,
                                const ConfigValue& now) {
    if (std::holds_alternative<double>(now.value))
      return {compat::Config({ConfigValue::Dict{{"overrides", {ConfigValue::Dict{{key, given}}}}}},
                             "--optimizer-overrides")
                  .get_float("overrides", key, 0)};
    const auto is_number = [](const ConfigValue& value) {
      return std::holds_alternative<double>(value.value) ||
             std::holds_alternative<std::int64_t>(value.value);
    };
    const bool pair = std::holds_alternative<ConfigValue::List>(now.value);
    const auto* const list = std::get_if<ConfigValue::List>(&given.value);
    const bool fits =
        pair
            ? list != nullptr && list->size() == 2 && is_number((*list)[0]) && is_number((*list)[1])
            : is_number(given) || given.is_none() || std::holds_alternative<bool>(given.value);
    if (!fits)
      throw compat::UsageError(compat::concat("--optimizer-overrides: ", compat::printable(key),
                                              " is ", compat::printable(given.to_text(), 80),
                                              pair ? ", expected [X, Y]" : ", expected a number"));
    return given;
  }

  void read_options(const PickleNode& group, const ConfigValue& overrides) {
    Optimizer& state = optimizer_.state();
    for (const auto& [key, now] : ConfigValue::Dict(state.group())) {
      const PickleNode* const node = group.find(key);
      if (node != nullptr) *state.option(key) = value_of(*node, "param_groups." + key, now);
      if (const ConfigValue* const given = overrides.find(key))
        *state.option(key) = overridden(key, *given, now);
    }
  }

  const compat::TensorView& tensor_of(const PickleNode& node, const std::string& entry,
                                      std::string_view key, std::int64_t numel) const {
    const std::string where = compat::concat(entry, '.', key);
    const PickleNode* const found = node.find(key);
    const auto* tensor = found != nullptr ? found->get_if<compat::PickleTensor>() : nullptr;
    if (tensor == nullptr)
      fail(where,
           found == nullptr ? "is missing" : "is " + found->describe() + ", expected a tensor");
    if (tensor->view.numel() != numel)
      fail(where, compat::concat("has ", tensor->view.numel(), " elements, the model has ", numel));
    if (!at::isFloatingType(scalar_type(tensor->view.dtype())))
      fail(where, "holds " + std::string(compat::dtype_name(tensor->view.dtype())) +
                      ", expected floating point");
    return tensor->view;
  }

  const PickleNode& entry_of(const PickleDict& entries, std::int64_t index) const {
    const auto found = std::ranges::find_if(entries.items, [&](const auto& item) {
      const auto* key = item.first->template get_if<std::int64_t>();
      return key != nullptr && *key == index;
    });
    if (found == entries.items.end()) fail(compat::concat("state[", index, ']'), "is missing");
    return *found->second;
  }

  void read_steps(const PickleNode& node, const std::string& where, const PickleNode& group) {
    Optimizer& state = optimizer_.state();
    if (state.count() == Optimizer::Count::kNone) return state.set_steps(1);  // at least one
    const PickleNode* step = node.find("step");
    if (step == nullptr) step = group.find("step");  // apex's FusedAdam keeps it in the group
    if (step == nullptr) fail(where + ".step", "is missing");
    state.set_steps(integer_of(step, "state.step"));
  }

  /// The entry of one parameter, or, if `whole`, of all parameters end to end.
  void read_entry(const PickleDict& entries, std::int64_t index, std::size_t slot, bool whole,
                  const PickleNode& group) {
    const std::string where = compat::concat("state[", index, ']');
    const PickleNode& node = entry_of(entries, index);
    read_steps(node, where, group);
    const Optimizer& state = optimizer_.state();
    const std::size_t first = whole ? 0 : slot,
                      end = whole ? optimizer_.flat().slots().size() : slot + 1;
    for (const auto& [key, into, derived] : state.state_of(first)) {
      if (derived) continue;
      std::int64_t numel = 0;
      for (std::size_t i = first; i < end; ++i) numel += tensor_at(i, key).numel();
      const compat::TensorView& view = tensor_of(node, where, key, numel);
      const at::Tensor values = to_tensor(view, at::kFloat, into.device()).reshape({-1});
      std::int64_t at = 0;
      for (std::size_t i = first; i < end; ++i) {
        const at::Tensor target = tensor_at(i, key);
        target.view(-1).copy_(values.narrow(0, at, target.numel()));
        at += target.numel();
      }
    }
  }

  at::Tensor tensor_at(std::size_t slot, std::string_view key) const {
    for (const auto& [name, tensor, derived] : optimizer_.state().state_of(slot))
      if (name == key) return tensor;
    fail("param_groups", "names one parameter, and this optimizer keeps the shapes of all");
  }

  ParameterOptimizer& optimizer_;
  const std::string& file_;
};

}  // namespace

std::vector<std::size_t> entry_slots(const FlatParameters& flat) {
  std::vector<std::size_t> slots;
  for (std::size_t i = 0; i < flat.slots().size(); ++i)
    if (flat.is_trained(i)) slots.push_back(i);
  return slots;
}

std::vector<at::Tensor> snapshot(const FlatParameters& flat, const at::Tensor& buffer) {
  const at::NoGradGuard no_grad;
  const at::Tensor copy = buffer.to(at::TensorOptions().device(at::kCPU).dtype(at::kFloat),
                                    /*non_blocking=*/false, /*copy=*/true);
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < flat.slots().size(); ++i) parts.push_back(flat.view(copy, i));
  return parts;
}

namespace {

using KeyedTensors = std::vector<std::pair<std::string_view, at::Tensor>>;

/// Copies of one parameter's tensors, on the CPU.
KeyedTensors copies_of(const Optimizer& optimizer, std::size_t slot) {
  KeyedTensors copies;
  for (const auto& [key, tensor, derived] : optimizer.state_of(slot))
    copies.emplace_back(key, tensor.to(at::TensorOptions().device(at::kCPU).dtype(at::kFloat),
                                       /*non_blocking=*/false, /*copy=*/true));
  return copies;
}

/// The entries of all parameters joined into one.
KeyedTensors joined(const std::vector<KeyedTensors>& entries) {
  KeyedTensors whole;
  for (std::size_t i = 0; i < entries.front().size(); ++i) {
    std::vector<at::Tensor> parts;
    for (const KeyedTensors& one : entries) parts.push_back(one[i].second);
    whole.emplace_back(entries.front()[i].first, end_to_end(parts));
  }
  return whole;
}

PickleNode* group_node(PickleArena& arena, const Optimizer& optimizer, double lr,
                       std::size_t entries) {
  PickleDict group;
  arena.put(group, "lr", arena.real(lr));
  for (const auto& [key, value] : optimizer.group()) {
    PickleNode* node = compat::config_to_pickle(arena, value);
    if (const auto* list = node->get_if<compat::PickleList>())
      node = arena.make(compat::PickleTuple{list->items});  // as torch has betas
    arena.put(group, key, node);
  }
  compat::PickleList indices;
  for (std::size_t i = 0; i < entries; ++i)
    indices.items.push_back(arena.integer(static_cast<std::int64_t>(i)));
  arena.put(group, "params", arena.make(std::move(indices)));
  return arena.make(std::move(group));
}

}  // namespace

PickleNode* optimizer_state(PickleArena& arena, const ParameterOptimizer& optimizer, double lr) {
  const at::NoGradGuard no_grad;
  const Optimizer& kind = optimizer.state();
  const bool flat = optimizer.precision().flat_state;
  const std::vector<std::size_t> slots =
      flat ? all_slots(optimizer.flat()) : entry_slots(optimizer.flat());
  std::vector<KeyedTensors> tensors;
  // fairseq makes most optimizers' entries at the first update.
  if (kind.steps() > 0 || kind.has_state_at_start())
    for (const std::size_t slot : slots) tensors.push_back(copies_of(kind, slot));
  if (!tensors.empty() && tensors.front().empty()) tensors.clear();
  if (flat && !tensors.empty()) tensors = {joined(tensors)};
  PickleDict entries;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    entries.items.emplace_back(arena.integer(static_cast<std::int64_t>(i)),
                               entry(arena, kind, tensors[i]));
  PickleDict state;
  arena.put(state, "state", arena.make(std::move(entries)));
  arena.put(state, "param_groups",
            arena.make(compat::PickleList{{group_node(arena, kind, lr, flat ? 1 : slots.size())}}));
  if (optimizer.scaler() != nullptr)
    arena.put(state, "loss_scale", arena.real(optimizer.scaler()->loss_scale()));
  return arena.make(std::move(state));
}

void load_optimizer_state(ParameterOptimizer& optimizer, const PickleNode& state,
                          const ConfigValue& overrides, const std::string& file) {
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
