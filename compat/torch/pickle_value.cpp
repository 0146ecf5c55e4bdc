#include "compat/torch/pickle_value.h"

#include <algorithm>
#include <array>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

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

/// The full name of a class or callable, or "object" for any other node.
std::string name_of(const PickleNode* callable) {
  const auto* global = callable == nullptr ? nullptr : callable->get_if<PickleGlobal>();
  return global == nullptr ? "object" : printable(global->module + "." + global->name);
}

std::string article(const std::string& name) {
  return (std::string_view("aeiou").find(name.empty() ? 'x' : name[0]) == std::string_view::npos
              ? "a "
              : "an ") +
         name;
}

/// A description of a tensor that is not read: the result of torch's function `name` for the
/// arguments of `object`. Empty for other functions.
std::string tensor_kind(const PickleObject& object) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kKinds{
      {{"torch._utils._rebuild_qtensor", "a quantized tensor"},
       {"torch._utils._rebuild_sparse_tensor", "a sparse tensor"},
       {"torch._utils._rebuild_sparse_csr_tensor", "a sparse tensor"},
       {"torch._utils._rebuild_nested_tensor", "a nested tensor"},
       {"torch._utils._rebuild_meta_tensor_no_storage",
        "a tensor without data (of the device 'meta')"},
       {"torch._utils._rebuild_wrapper_subclass", "a tensor of a class of its own"}}};
  const std::string name = name_of(object.callable);
  const auto found =
      std::ranges::find(kKinds, name, [](const auto& row) { return std::string(row.first); });
  if (found != kKinds.end()) return std::string(found->second);
  const auto* args = object.args == nullptr ? nullptr : object.args->get_if<PickleTuple>();
  const auto name_at = [&](std::size_t i) {
    const auto* global = args == nullptr || args->items.size() <= i
                             ? nullptr
                             : args->items[i]->get_if<PickleGlobal>();
    return global == nullptr ? std::string("an unknown kind")
                             : printable(global->module + "." + global->name);
  };
  if (name == "torch._utils._rebuild_tensor_v3") return "a tensor of " + name_at(6);
  if (name == "torch._tensor._rebuild_from_type_v2") return "a tensor of the class " + name_at(1);
  return {};
}

struct Describe {
  std::string operator()(const PickleNone&) const { return "None"; }
  std::string operator()(bool value) const { return value ? "True" : "False"; }
  std::string operator()(std::int64_t value) const { return concat("the int ", value); }
  std::string operator()(const PickleBigInt&) const { return "an int beyond 64 bits"; }
  std::string operator()(double value) const { return "the float " + general(value); }
  std::string operator()(const std::string& value) const {
    return "the string '" + printable(value, 40) + "'";
  }
  std::string operator()(const PickleBytes& value) const {
    return value.is_bytearray ? "a bytearray" : "bytes";
  }
  std::string operator()(const PickleTuple& value) const {
    return concat("a tuple of ", value.items.size());
  }
  std::string operator()(const PickleList& value) const {
    return concat("a list of ", value.items.size());
  }
  std::string operator()(const PickleSet&) const { return "a set"; }
  std::string operator()(const PickleDict& value) const {
    return value.ordered ? "an OrderedDict" : "a dict";
  }
  std::string operator()(const PickleGlobal& value) const {
    return "the class or function " + printable(value.module + "." + value.name);
  }
  std::string operator()(const PickleObject& value) const {
    const std::string tensor = tensor_kind(value);
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
