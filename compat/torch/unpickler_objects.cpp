#include <algorithm>

#include "compat/base/concat.h"
#include "compat/torch/unpickler_machine.h"

namespace compat {
namespace {

/// Limit on the name of a module or class: STACK_GLOBAL copies it each time the memo gives it.
constexpr std::size_t kMaxNameSize = 4096;

}  // namespace

void UnpickleMachine::op_global() {
  const std::string_view module = in_.take_line("a module's name");
  push_global(module, in_.take_line("a name in a module"));
}

void UnpickleMachine::push_global(std::string_view module, std::string_view name) {
  if (module.size() > kMaxNameSize || name.size() > kMaxNameSize)
    fail(concat("a module's or class's name of ", std::max(module.size(), name.size()),
                " bytes, expected at most ", kMaxNameSize));
  push_new(PickleGlobal{std::string(module), std::string(name)});
}

void UnpickleMachine::op_stack_global() {
  const PickleNode* const name = pop();
  const PickleNode* const module = pop();
  push_global(text_of(module, "a module's name"), text_of(name, "a name in a module"));
}

void UnpickleMachine::op_inst() {
  op_global();
  PickleNode* const type = pop();
  PickleNode* const args = make(PickleTuple{pop_to_mark()});
  PickleObject object;
  object.how = PickleObject::How::kInst;
  object.callable = type;
  object.args = args;
  push_new(std::move(object));
}

void UnpickleMachine::op_obj() {
  auto items = pop_to_mark();
  if (items.empty()) fail("OBJ without a class");
  PickleObject object;
  object.how = PickleObject::How::kInst;
  object.callable = items.front();
  items.erase(items.begin());
  object.args = make(PickleTuple{std::move(items)});
  push_new(std::move(object));
}

void UnpickleMachine::op_newobj() {
  PickleObject object;
  object.how = PickleObject::How::kNewObj;
  object.args = pop();
  object.callable = pop();
  if (object.args->get_if<PickleTuple>() == nullptr)
    fail("the arguments of NEWOBJ are " + object.args->describe() + ", expected a tuple");
  push_new(std::move(object));
}

void UnpickleMachine::op_newobj_ex() {
  PickleObject object;
  object.how = PickleObject::How::kNewObjEx;
  object.kwargs = pop();
  object.args = pop();
  object.callable = pop();
  if (object.args->get_if<PickleTuple>() == nullptr ||
      object.kwargs->get_if<PickleDict>() == nullptr)
    fail("the arguments of NEWOBJ_EX are " + object.args->describe() + " and " +
         object.kwargs->describe() + ", expected a tuple and a dict");
  push_new(std::move(object));
}

void UnpickleMachine::op_reduce() {
  PickleNode* const args = pop();
  PickleNode* const callable = pop();
  const auto* tuple = args->get_if<PickleTuple>();
  if (tuple == nullptr)
    fail("the arguments of REDUCE are " + args->describe() + ", expected a tuple");
  const auto* global = callable->get_if<PickleGlobal>();
  PickleNode* result = global == nullptr ? nullptr : interpreted(*global, *tuple);
  if (result == nullptr) {
    PickleObject object;
    object.callable = callable;
    object.args = args;
    result = make(std::move(object));
  }
  push(result);
}

void UnpickleMachine::op_build() {
  PickleNode* const state = pop();
  PickleNode* const target = top();
  if (auto* object = target->get_if<PickleObject>(); object != nullptr && object->state == nullptr)
    object->state = state;
  else if (auto* dict = target->get_if<PickleDict>();
           dict != nullptr && dict->ordered && dict->state == nullptr)
    dict->state = state;
  else
    fail("BUILD on " + target->describe() + ", expected an object without state");
}

void UnpickleMachine::op_persid() {
  persistent(make(std::string(in_.take_line("a persistent id"))));
}

void UnpickleMachine::persistent(PickleNode* id) {
  PickleNode* const loaded = load_ ? load_(*arena_, *id, opcode_place_) : nullptr;
  push(loaded != nullptr ? loaded : make(PicklePersistentId{id}));
}

PickleNode* UnpickleMachine::interpreted(const PickleGlobal& callable, const PickleTuple& args) {
  if (callable.module == "torch._utils") {
    if (callable.name == "_rebuild_tensor_v2") return rebuilt_tensor(args);
    if (callable.name == "_rebuild_tensor") return plain_tensor(args);
    if (callable.name == "_rebuild_parameter") return rebuilt_parameter(args, false);
    if (callable.name == "_rebuild_parameter_with_state") return rebuilt_parameter(args, true);
  }
  if (callable.module == "torch._tensor" && callable.name == "_rebuild_from_type_v2")
    return rebuilt_from_type(args);
  if (callable.module == "torch.storage" && callable.name == "_load_from_bytes" && load_bytes_)
    return storage_of(args);
  if (callable.module == "collections" && callable.name == "OrderedDict") return ordered_dict(args);
  return nullptr;
}

std::vector<std::int64_t> UnpickleMachine::sizes_of(const PickleNode& node,
                                                    std::string_view what) const {
  const auto* tuple = &node;
  // torch.Size((2, 3)) in files of some versions
  if (const auto* object = node.get_if<PickleObject>()) {
    const auto* args = object->args == nullptr ? nullptr : object->args->get_if<PickleTuple>();
    if (args != nullptr && args->items.size() == 1) tuple = args->items[0];
  }
  const auto* items = tuple->get_if<PickleTuple>();
  if (items == nullptr)
    fail("a tensor's " + std::string(what) + " is " + node.describe() +
         ", expected a tuple of ints");
  std::vector<std::int64_t> sizes;
  for (const PickleNode* item : items->items) {
    const auto* size = item->get_if<std::int64_t>();
    if (size == nullptr)
      fail("a tensor's " + std::string(what) + " holds " + item->describe() + ", expected ints");
    sizes.push_back(*size);
  }
  return sizes;
}

/// torch's keys "neg" and "conj" mark elements that are stored without negation or conjugation.
void UnpickleMachine::apply_metadata(const PickleNode& metadata, TensorView& view) const {
  if (metadata.is_none()) return;
  const auto* dict = metadata.get_if<PickleDict>();
  if (dict == nullptr) fail("a tensor's metadata are " + metadata.describe() + ", expected a dict");
  bool negative = false, conjugate = false;
  for (const auto& [key, value] : dict->items) {
    const auto* name = key->get_if<std::string>();
    const auto* flag = value->get_if<bool>();
    if (name == nullptr || flag == nullptr || (*name != "neg" && *name != "conj"))
      unsupported("a tensor's metadata " + key->describe() + " (" + value->describe() + ")");
    (*name == "neg" ? negative : conjugate) = *flag;
  }
  const bool complex = view.dtype() == DType::kComplex64 || view.dtype() == DType::kComplex128;
  if ((conjugate && !complex) || (negative && view.dtype() == DType::kBool))
    fail("a tensor of " + std::string(dtype_name(view.dtype())) + " with the " +
         (conjugate ? "conjugate" : "negative") + " bit");
  view = with_signs_changed(view, negative, conjugate);
}

/// _load_from_bytes(bytes): a torch file with one storage. torch's pickler writes new bytes for
/// each storage. The memo could name the same bytes many times, and each time they would be copied.
PickleNode* UnpickleMachine::storage_of(const PickleTuple& args) {
  const auto* bytes = args.items.size() != 1 ? nullptr : args.items[0]->get_if<PickleBytes>();
  if (bytes == nullptr) fail("a storage without its bytes");
  loaded_bytes_ += bytes->bytes.size();
  if (loaded_bytes_ > in_.position())
    fail(concat("storages of ", loaded_bytes_, " bytes are loaded from a pickle of which ",
                in_.position(), " bytes were read"));
  return load_bytes_(*arena_, bytes->bytes, opcode_place_);
}

/// _rebuild_tensor(storage, offset, shape, stride). Null when the storage is unresolved or holds
/// quantized elements.
PickleNode* UnpickleMachine::plain_tensor(const PickleTuple& args) {
  if (args.items.size() != 4)
    fail(concat("a tensor with ", args.items.size(), " arguments, expected 4"));
  const auto* storage = args.items[0]->get_if<PickleStorage>();
  if (storage == nullptr) {
    if (args.items[0]->get_if<PicklePersistentId>() != nullptr) return nullptr;
    fail("a tensor over " + args.items[0]->describe() + ", expected a storage");
  }
  if (!storage->class_name.empty()) return nullptr;
  const auto* offset = args.items[1]->get_if<std::int64_t>();
  if (offset == nullptr)
    fail("a tensor's offset is " + args.items[1]->describe() + ", expected an int");
  TensorView view{storage->storage, *offset, sizes_of(*args.items[2], "shape"),
                  sizes_of(*args.items[3], "stride"), false};
  if (const std::string problem =
          view_problem(view.offset, view.shape, view.stride, view.storage->numel());
      !problem.empty())
    fail("bad tensor: " + problem);
  return make(PickleTensor{std::move(view)});
}

/// _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks[, metadata]). The hooks
/// are left out: they are calls to make when gradients come.
PickleNode* UnpickleMachine::rebuilt_tensor(const PickleTuple& args) {
  if (args.items.size() != 6 && args.items.size() != 7)
    fail(concat("a tensor with ", args.items.size(), " arguments, expected 6 or 7"));
  PickleNode* const node = plain_tensor(PickleTuple{{args.items.begin(), args.items.begin() + 4}});
  if (node == nullptr) return nullptr;
  TensorView& view = node->get_if<PickleTensor>()->view;
  const auto* requires_grad = args.items[4]->get_if<bool>();
  if (requires_grad == nullptr)
    fail("a tensor's requires_grad is " + args.items[4]->describe() + ", expected a bool");
  view.requires_grad = *requires_grad;
  if (args.items.size() == 7) apply_metadata(*args.items[6], view);
  return node;
}

/// _rebuild_parameter(tensor, requires_grad, hooks) and _rebuild_parameter_with_state(tensor,
/// requires_grad, hooks, state).
PickleNode* UnpickleMachine::rebuilt_parameter(const PickleTuple& args, bool has_state) {
  const std::size_t expected = has_state ? 4 : 3;
  if (args.items.size() != expected)
    fail(concat("a parameter with ", args.items.size(), " arguments, expected ", expected));
  const auto* data = args.items[0]->get_if<PickleTensor>();
  if (data == nullptr) {
    if (args.items[0]->get_if<PickleObject>() != nullptr) return nullptr;
    fail("a parameter over " + args.items[0]->describe() + ", expected a tensor");
  }
  const auto* requires_grad = args.items[1]->get_if<bool>();
  if (requires_grad == nullptr)
    fail("a parameter's requires_grad is " + args.items[1]->describe() + ", expected a bool");
  TensorView view = data->view;
  view.requires_grad = *requires_grad;
  return make(PickleTensor{std::move(view), true, has_state ? args.items[3] : nullptr});
}

/// _rebuild_from_type_v2(function, class, arguments, state) of a plain tensor with attributes, as
/// nn.Buffer writes. Null for other classes, whose elements may have another meaning.
PickleNode* UnpickleMachine::rebuilt_from_type(const PickleTuple& args) {
  if (args.items.size() != 4)
    fail(concat("a tensor with attributes of ", args.items.size(), " arguments, expected 4"));
  const auto* function = args.items[0]->get_if<PickleGlobal>();
  const auto* type = args.items[1]->get_if<PickleGlobal>();
  const auto* inner = args.items[2]->get_if<PickleTuple>();
  if (function == nullptr || type == nullptr || inner == nullptr) return nullptr;
  const bool plain =
      (type->module == "torch" || type->module == "torch._tensor") && type->name == "Tensor";
  if (!plain || function->module != "torch._utils" || function->name != "_rebuild_tensor_v2")
    return nullptr;
  PickleNode* const node = rebuilt_tensor(*inner);
  if (node != nullptr) node->get_if<PickleTensor>()->attributes = args.items[3];
  return node;
}

PickleNode* UnpickleMachine::ordered_dict(const PickleTuple& args) {
  PickleDict dict;
  dict.ordered = true;
  if (args.items.empty()) return make(std::move(dict));
  const auto* pairs = args.items.size() == 1 ? args.items[0]->get_if<PickleList>() : nullptr;
  if (pairs == nullptr) return nullptr;
  copied_items_ += pairs->items.size();  // the memo can name one list many times
  if (copied_items_ > most_values_)
    fail(concat("more than ", most_values_, " items of OrderedDicts made from lists"));
  for (const PickleNode* pair : pairs->items) {  // Python 2 wrote OrderedDict([[key, value], ...])
    const auto* list = pair->get_if<PickleList>();
    const auto* tuple = pair->get_if<PickleTuple>();
    if (list == nullptr && tuple == nullptr) return nullptr;
    const auto& items = list != nullptr ? list->items : tuple->items;
    if (items.size() != 2) return nullptr;
    dict.items.emplace_back(items[0], items[1]);
  }
  return make(std::move(dict));
}

void UnpickleMachine::add_object_handlers(std::array<Handler, 256>& table) {
  table['c'] = &UnpickleMachine::op_global;
  table[0x93] = &UnpickleMachine::op_stack_global;
  table['i'] = &UnpickleMachine::op_inst;
  table['o'] = &UnpickleMachine::op_obj;
  table[0x81] = &UnpickleMachine::op_newobj;
  table[0x92] = &UnpickleMachine::op_newobj_ex;
  table['R'] = &UnpickleMachine::op_reduce;
  table['b'] = &UnpickleMachine::op_build;
  table['P'] = &UnpickleMachine::op_persid;
  table['Q'] = &UnpickleMachine::op_binpersid;
  table[0x82] = table[0x83] = table[0x84] = &UnpickleMachine::op_extension;
  table[0x97] = table[0x98] = &UnpickleMachine::op_buffer;
  table['.'] = &UnpickleMachine::op_stop;
}

}  // namespace compat
