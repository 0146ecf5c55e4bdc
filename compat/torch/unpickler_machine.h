// The stack machine behind unpickle(). unpickler.cpp has the loop, the stack and containers.
// unpickler_scalars.cpp has numbers and strings. unpickler_objects.cpp has names, objects and
// torch's tensors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compat/base/byte_reader.h"
#include "compat/torch/pickle_value.h"
#include "compat/torch/unpickler.h"

namespace compat {

class UnpickleMachine {
 public:
  UnpickleMachine(ByteReader& in, const PersistentLoader& load, const StorageLoader& load_bytes,
                  std::size_t most_values)
      : in_(in),
        load_(load),
        load_bytes_(load_bytes),
        most_values_(most_values),
        arena_(std::make_shared<PickleArena>()) {}

  PickleTree run();

 private:
  using Items = std::vector<std::pair<PickleNode*, PickleNode*>>;
  using Handler = void (UnpickleMachine::*)();
  static const std::array<Handler, 256>& handlers();
  static void add_scalar_handlers(std::array<Handler, 256>& table);
  static void add_container_handlers(std::array<Handler, 256>& table);
  static void add_object_handlers(std::array<Handler, 256>& table);

  [[noreturn]] void fail(std::string_view problem) const {
    throw FormatError(opcode_place_, problem);
  }
  [[noreturn]] void unsupported(std::string_view problem) const {
    throw FormatError(opcode_place_, std::string(problem) + " is not supported");
  }

  PickleNode* make(PickleNode::Variant value);
  void push(PickleNode* node) { stack_.push_back(node); }
  void push_new(PickleNode::Variant value) { push(make(std::move(value))); }
  PickleNode* pop();
  PickleNode* top();
  std::vector<PickleNode*> pop_to_mark();
  Items pop_pairs_to_mark();
  std::string_view take_text(std::uint64_t size, std::string_view what) {
    return as_chars(in_.take(size, what));
  }
  const std::string& text_of(const PickleNode* node, std::string_view what) const;

  // Scalars
  void op_proto();
  void op_frame() { in_.read<std::uint64_t>("a frame's size"); }
  void op_none() { push_new(PickleNone{}); }
  void op_true() { push_new(true); }
  void op_false() { push_new(false); }
  void op_int();
  void op_long();
  void op_float();
  void op_binint() { push_new(std::int64_t{in_.read<std::int32_t>("an int")}); }
  void op_binint1() { push_new(std::int64_t{in_.read<std::uint8_t>("an int")}); }
  void op_binint2() { push_new(std::int64_t{in_.read<std::uint16_t>("an int")}); }
  void op_long1() { push_long(in_.read<std::uint8_t>("an int's size")); }
  void op_long4();
  void op_binfloat();
  void op_string();
  void op_unicode();
  template <class Size>
  void op_counted_string() {
    const auto size = in_.read<Size>("a string's size");
    push_new(std::string(take_text(static_cast<std::uint64_t>(size), "a string")));
  }
  template <class Size>
  void op_counted_bytes() {
    const auto size = in_.read<Size>("the size of bytes");
    push_new(PickleBytes{std::string(take_text(static_cast<std::uint64_t>(size), "bytes")), false});
  }
  void op_binstring();
  void op_bytearray();
  void push_long(std::uint64_t size);
  void push_decimal(std::string_view digits);

  // Stack, memo and containers
  void op_mark() { marks_.push_back(stack_.size()); }
  void op_pop();
  void op_pop_mark() { pop_to_mark(); }
  void op_dup() { push(top()); }
  void op_put() { memoize(line_index()); }
  void op_binput() { memoize(in_.read<std::uint8_t>("a memo index")); }
  void op_long_binput() { memoize(in_.read<std::uint32_t>("a memo index")); }
  void op_memoize() { memoize(memo_.size()); }
  void op_get() { recall(line_index()); }
  void op_binget() { recall(in_.read<std::uint8_t>("a memo index")); }
  void op_long_binget() { recall(in_.read<std::uint32_t>("a memo index")); }
  void memoize(std::uint64_t index) { memo_[index] = top(); }
  void recall(std::uint64_t index);
  std::uint64_t line_index();
  void op_empty_tuple() { push_new(PickleTuple{}); }
  void op_empty_list() { push_new(PickleList{}); }
  void op_empty_dict() { push_new(PickleDict{}); }
  void op_empty_set() { push_new(PickleSet{}); }
  void op_tuple() {
    auto items = pop_to_mark();
    push_new(PickleTuple{std::move(items)});
  }
  void op_list() {
    auto items = pop_to_mark();
    push_new(PickleList{std::move(items)});
  }
  void op_dict();
  void op_frozenset() {
    auto items = pop_to_mark();
    push_new(PickleSet{std::move(items), true});
  }
  template <int kCount>
  void op_small_tuple();
  void op_append();
  void op_appends() { append(pop_to_mark()); }
  void append(const std::vector<PickleNode*>& items);
  void op_setitem();
  void op_setitems() { set_items(pop_pairs_to_mark()); }
  void set_items(const Items& items);
  void op_additems();

  // Names, objects, persistent ids
  void op_global();
  void op_stack_global();
  void op_inst();
  void op_obj();
  void op_newobj();
  void op_newobj_ex();
  void op_reduce();
  void op_build();
  void op_persid();
  void op_binpersid() { persistent(pop()); }
  void persistent(PickleNode* id);
  void op_extension() { unsupported("a code of the copyreg extension registry"); }
  void op_buffer() { unsupported("an out-of-band buffer"); }
  void op_stop() { done_ = true; }

  // The callables that are interpreted.
  PickleNode* interpreted(const PickleGlobal& callable, const PickleTuple& args);
  PickleNode* storage_of(const PickleTuple& args);
  PickleNode* plain_tensor(const PickleTuple& args);
  PickleNode* rebuilt_tensor(const PickleTuple& args);
  PickleNode* rebuilt_parameter(const PickleTuple& args, bool has_state);
  PickleNode* rebuilt_from_type(const PickleTuple& args);
  void apply_metadata(const PickleNode& metadata, TensorView& view) const;
  PickleNode* ordered_dict(const PickleTuple& args);
  std::vector<std::int64_t> sizes_of(const PickleNode& node, std::string_view what) const;
  void push_global(std::string_view module, std::string_view name);
  void check_duplicates() const;

  ByteReader& in_;
  const PersistentLoader& load_;
  const StorageLoader& load_bytes_;
  std::size_t most_values_;
  std::shared_ptr<PickleArena> arena_;
  std::vector<PickleNode*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleNode*> memo_;
  std::vector<PickleNode*> dicts_;
  std::size_t copied_items_ = 0;
  std::uint64_t loaded_bytes_ = 0;
  Location opcode_place_;
  bool done_ = false;
};

}  // namespace compat
