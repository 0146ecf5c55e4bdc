#include "compat/pickle_value.h"

#include "compat/error.h"

namespace compat {
namespace {

using Items = std::vector<std::pair<PickleNode*, PickleNode*>>;

const PickleNode* find_in(const Items& items, std::string_view key) noexcept {
  for (const auto& [name, value] : items) {
    const auto* text = name->get_if<std::string>();
    if (text != nullptr && *text == key) return value;
  }
  return nullptr;
}

/// A class or callable by its full name, or what it is instead.
std::string name_of(const PickleNode* callable) {
  const auto* global = callable == nullptr ? nullptr : callable->get_if<PickleGlobal>();
  return global == nullptr ? "object" : printable(global->module + "." + global->name);
}

/// Tensors that no plain storage holds: what _rebuild_tensor_v3 and its like were called for. "" for other objects.
std::string kind_of_tensor(const PickleObject& object) {
  const auto* global = object.callable == nullptr ? nullptr : object.callable->get_if<PickleGlobal>();
  if (global == nullptr || global->module != "torch._utils") return {};
  if (global->name == "_rebuild_sparse_tensor") return "a sparse tensor";
  if (global->name == "_rebuild_qtensor") return "a quantised tensor";
  const auto* args = object.args == nullptr ? nullptr : object.args->get_if<PickleTuple>();
  constexpr std::size_t kDtype = 6;
  if (global->name != "_rebuild_tensor_v3" || args == nullptr || args->items.size() <= kDtype) return {};
  const auto* dtype = args->items[kDtype]->get_if<PickleGlobal>();
  return dtype == nullptr ? "" : "a tensor of " + printable(dtype->module + "." + dtype->name);
}

std::string article(const std::string& name) {
  return (std::string_view("aeiou").find(name.empty() ? 'x' : name[0]) == std::string_view::npos ? "a " : "an ") + name;
}

struct Describe {
  std::string operator()(const PickleNone&) const { return "None"; }
  std::string operator()(bool value) const { return value ? "True" : "False"; }
  std::string operator()(std::int64_t value) const { return "the int " + std::to_string(value); }
  std::string operator()(const PickleBigInt&) const { return "an int beyond 64 bits"; }
  std::string operator()(double value) const { return "the float " + std::to_string(value); }
  std::string operator()(const std::string& value) const { return "the string '" + printable(value, 40) + "'"; }
  std::string operator()(const PickleBytes& value) const { return value.is_bytearray ? "a bytearray" : "bytes"; }
  std::string operator()(const PickleTuple& value) const { return "a tuple of " + std::to_string(value.items.size()); }
  std::string operator()(const PickleList& value) const { return "a list of " + std::to_string(value.items.size()); }
  std::string operator()(const PickleSet&) const { return "a set"; }
  std::string operator()(const PickleDict& value) const { return value.ordered ? "an OrderedDict" : "a dict"; }
  std::string operator()(const PickleGlobal& value) const {
    return "the class or function " + printable(value.module + "." + value.name);
  }
  std::string operator()(const PickleObject& value) const {
    const std::string tensor = kind_of_tensor(value);
    return tensor.empty() ? article(name_of(value.callable)) : tensor;
  }
  std::string operator()(const PicklePersistentId&) const { return "a persistent id"; }
  std::string operator()(const PickleTensor&) const { return "a tensor"; }
  std::string operator()(const PickleStorage&) const { return "a storage"; }
};

}  // namespace

const PickleNode* PickleNode::find(std::string_view key) const noexcept {
  if (const auto* dict = get_if<PickleDict>()) return find_in(dict->items, key);
  if (const auto* object = get_if<PickleObject>()) {
    const auto* state = object->state == nullptr ? nullptr : object->state->get_if<PickleDict>();
    if (state != nullptr)
      if (const PickleNode* found = find_in(state->items, key)) return found;
    return find_in(object->items, key);
  }
  return nullptr;
}

std::string PickleNode::describe() const { return std::visit(Describe{}, value); }

PickleNode* PickleArena::make(PickleNode::Variant value) {
  nodes_.push_back(PickleNode{std::move(value)});
  return &nodes_.back();
}

}  // namespace compat
