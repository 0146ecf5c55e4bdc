#include "compat/torch/unpickler.h"

#include <unordered_set>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/torch/unpickler_machine.h"

namespace compat {

PickleTree UnpickleMachine::run() {
  while (!done_) {
    opcode_place_ = in_.where();
    const auto opcode = in_.read<std::uint8_t>("a pickle opcode");
    const Handler handler = handlers()[opcode];
    if (handler == nullptr) fail(concat("unknown pickle opcode ", opcode));
    (this->*handler)();
  }
  if (!marks_.empty()) fail("STOP before an open MARK was closed");
  if (stack_.size() != 1)
    fail(concat("STOP with ", stack_.size(), " values on the stack, expected 1"));
  check_duplicates();
  return {arena_, stack_.back()};
}

PickleNode* UnpickleMachine::make(PickleNode::Variant value) {
  if (arena_->size() >= most_values_)
    fail(concat("more than ", most_values_, " values in one pickle"));
  PickleNode* const node = arena_->make(std::move(value));
  if (node->get_if<PickleDict>() != nullptr) dicts_.push_back(node);
  return node;
}

PickleNode* UnpickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("stack underflow");
  return stack_.back();
}

PickleNode* UnpickleMachine::pop() {
  PickleNode* const node = top();
  stack_.pop_back();
  return node;
}

std::vector<PickleNode*> UnpickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("no MARK on the stack");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleNode*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

UnpickleMachine::Items UnpickleMachine::pop_pairs_to_mark() {
  const auto flat = pop_to_mark();
  if (flat.size() % 2 != 0) fail("an odd number of keys and values");
  Items items;
  items.reserve(flat.size() / 2);
  for (std::size_t i = 0; i < flat.size(); i += 2) items.emplace_back(flat[i], flat[i + 1]);
  return items;
}

const std::string& UnpickleMachine::text_of(const PickleNode* node, std::string_view what) const {
  const auto* text = node->get_if<std::string>();
  if (text == nullptr) fail(std::string(what) + " is " + node->describe() + ", expected a string");
  return *text;
}

void UnpickleMachine::op_pop() {
  // A POP right after MARK removes the mark, as in CPython's machine.
  if (!marks_.empty() && marks_.back() == stack_.size())
    marks_.pop_back();
  else
    pop();
}

std::uint64_t UnpickleMachine::line_index() {
  const std::string_view line = in_.take_line("a memo index");
  const auto index = number_of<std::uint64_t>(line);
  if (!index) fail(concat("'", printable(line, 40), "' is not a memo index"));
  return *index;
}

void UnpickleMachine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail(concat("memo ", index, " is read before it is written"));
  push(found->second);
}

template <int kCount>
void UnpickleMachine::op_small_tuple() {
  PickleTuple tuple{std::vector<PickleNode*>(kCount)};
  for (int i = kCount; i-- > 0;) tuple.items[static_cast<std::size_t>(i)] = pop();
  push_new(std::move(tuple));
}

void UnpickleMachine::op_dict() {
  PickleDict dict;
  dict.items = pop_pairs_to_mark();
  push_new(std::move(dict));
}

void UnpickleMachine::op_append() {
  PickleNode* const item = pop();
  append({item});
}

void UnpickleMachine::append(const std::vector<PickleNode*>& items) {
  PickleNode* const target = top();
  std::vector<PickleNode*>* list = nullptr;
  if (auto* plain = target->get_if<PickleList>()) list = &plain->items;
  if (auto* object = target->get_if<PickleObject>()) list = &object->appended;
  if (list == nullptr) fail("APPEND to " + target->describe() + ", expected a list");
  list->insert(list->end(), items.begin(), items.end());
}

void UnpickleMachine::op_setitem() {
  PickleNode* const value = pop();
  PickleNode* const key = pop();
  set_items({{key, value}});
}

void UnpickleMachine::set_items(const Items& items) {
  PickleNode* const target = top();
  Items* pairs = nullptr;
  if (auto* dict = target->get_if<PickleDict>()) pairs = &dict->items;
  if (auto* object = target->get_if<PickleObject>()) pairs = &object->items;
  if (pairs == nullptr) fail("SETITEM on " + target->describe() + ", expected a dict");
  pairs->insert(pairs->end(), items.begin(), items.end());
}

void UnpickleMachine::op_additems() {
  const auto items = pop_to_mark();
  PickleNode* const target = top();
  auto* set = target->get_if<PickleSet>();
  if (set == nullptr || set->frozen) fail("ADDITEMS to " + target->describe() + ", expected a set");
  set->items.insert(set->items.end(), items.begin(), items.end());
}

/// A dict with two equal keys is refused: no pickler writes one. Python would keep the last.
void UnpickleMachine::check_duplicates() const {
  // Equal texts share one representative, so that a long key of many dicts is compared only once.
  std::unordered_map<std::string_view, const std::string*> representatives;
  std::unordered_map<const std::string*, const std::string*> representative_of;
  std::unordered_set<const std::string*> seen;
  for (const PickleNode* node : dicts_) {
    seen.clear();
    for (const auto& [key, value] : node->get_if<PickleDict>()->items) {
      const auto* text = key->get_if<std::string>();
      if (text == nullptr) continue;
      const auto [known, is_new] = representative_of.try_emplace(text, nullptr);
      if (is_new) known->second = representatives.try_emplace(*text, text).first->second;
      if (!seen.insert(known->second).second)
        fail("a dict holds the key '" + printable(*text) + "' twice");
    }
  }
}

void UnpickleMachine::add_container_handlers(std::array<Handler, 256>& table) {
  table['('] = &UnpickleMachine::op_mark;
  table['0'] = &UnpickleMachine::op_pop;
  table['1'] = &UnpickleMachine::op_pop_mark;
  table['2'] = &UnpickleMachine::op_dup;
  table['p'] = &UnpickleMachine::op_put;
  table['q'] = &UnpickleMachine::op_binput;
  table['r'] = &UnpickleMachine::op_long_binput;
  table[0x94] = &UnpickleMachine::op_memoize;
  table['g'] = &UnpickleMachine::op_get;
  table['h'] = &UnpickleMachine::op_binget;
  table['j'] = &UnpickleMachine::op_long_binget;
  table[')'] = &UnpickleMachine::op_empty_tuple;
  table[']'] = &UnpickleMachine::op_empty_list;
  table['}'] = &UnpickleMachine::op_empty_dict;
  table[0x8f] = &UnpickleMachine::op_empty_set;
  table['t'] = &UnpickleMachine::op_tuple;
  table[0x85] = &UnpickleMachine::op_small_tuple<1>;
  table[0x86] = &UnpickleMachine::op_small_tuple<2>;
  table[0x87] = &UnpickleMachine::op_small_tuple<3>;
  table['l'] = &UnpickleMachine::op_list;
  table['d'] = &UnpickleMachine::op_dict;
  table[0x91] = &UnpickleMachine::op_frozenset;
  table['a'] = &UnpickleMachine::op_append;
  table['e'] = &UnpickleMachine::op_appends;
  table['s'] = &UnpickleMachine::op_setitem;
  table['u'] = &UnpickleMachine::op_setitems;
  table[0x90] = &UnpickleMachine::op_additems;
}

const std::array<UnpickleMachine::Handler, 256>& UnpickleMachine::handlers() {
  static const std::array<Handler, 256> table = [] {
    std::array<Handler, 256> made{};
    add_scalar_handlers(made);
    add_container_handlers(made);
    add_object_handlers(made);
    return made;
  }();
  return table;
}

PickleTree unpickle(ByteReader& in, const PersistentLoader& load, const StorageLoader& load_bytes,
                    std::size_t most_values) {
  return UnpickleMachine(in, load, load_bytes, most_values).run();
}

}  // namespace compat
