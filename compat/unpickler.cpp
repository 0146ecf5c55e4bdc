#include "compat/unpickler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "compat/text.h"

namespace compat {
namespace {

using Items = std::vector<std::pair<PickleNode*, PickleNode*>>;

/// Far beyond any checkpoint (a DictConfig of fairseq has some 10^4), small enough that a pickle of one-byte opcodes
/// cannot fill the memory.
constexpr std::size_t kMaxNodes = 2'000'000;
/// Of a module or a class: names are copied each time the memo gives them to STACK_GLOBAL.
constexpr std::size_t kMaxNameSize = 4096;
constexpr int kHighestProtocol = 5;

class Machine {
 public:
  Machine(ByteReader& in, const PersistentLoader& load) : in_(in), load_(load), arena_(std::make_shared<PickleArena>()) {}

  PickleTree run();

 private:
  using Handler = void (Machine::*)();
  static const std::array<Handler, 256>& handlers();
  static void add_scalar_handlers(std::array<Handler, 256>& table);
  static void add_container_handlers(std::array<Handler, 256>& table);
  static void add_object_handlers(std::array<Handler, 256>& table);

  [[noreturn]] void fail(std::string_view problem) const { throw FormatError(opcode_place_, problem); }
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
  std::string_view take_text(std::uint64_t size, std::string_view what) { return as_chars(in_.take(size, what)); }
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
  void op_tuple() { auto items = pop_to_mark(); push_new(PickleTuple{std::move(items)}); }
  void op_list() { auto items = pop_to_mark(); push_new(PickleList{std::move(items)}); }
  void op_dict();
  void op_frozenset() { auto items = pop_to_mark(); push_new(PickleSet{std::move(items), true}); }
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

  // What is interpreted
  PickleNode* interpreted(const PickleGlobal& callable, const PickleTuple& args);
  PickleNode* rebuilt_tensor(const PickleTuple& args, bool has_requires_grad);
  PickleNode* rebuilt_parameter(const PickleTuple& args);
  PickleNode* ordered_dict(const PickleTuple& args);
  std::vector<std::int64_t> sizes_of(const PickleNode& node, std::string_view what) const;
  void push_global(std::string_view module, std::string_view name);
  void check_duplicates() const;

  ByteReader& in_;
  const PersistentLoader& load_;
  std::shared_ptr<PickleArena> arena_;
  std::vector<PickleNode*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleNode*> memo_;
  std::vector<PickleNode*> dicts_;
  std::size_t copied_items_ = 0;
  Location opcode_place_;
  bool done_ = false;
};

PickleTree Machine::run() {
  while (!done_) {
    opcode_place_ = in_.where();
    const auto opcode = in_.read<std::uint8_t>("a pickle opcode");
    const Handler handler = handlers()[opcode];
    if (handler == nullptr) fail("unknown pickle opcode " + std::to_string(opcode));
    (this->*handler)();
  }
  if (!marks_.empty()) fail("STOP before an open MARK was closed");
  if (stack_.size() != 1) fail("STOP with " + std::to_string(stack_.size()) + " values on the stack, expected 1");
  check_duplicates();
  return {arena_, stack_.back()};
}

PickleNode* Machine::make(PickleNode::Variant value) {
  if (arena_->size() >= kMaxNodes) fail("more than " + std::to_string(kMaxNodes) + " values in one pickle");
  PickleNode* const node = arena_->make(std::move(value));
  if (node->get_if<PickleDict>() != nullptr) dicts_.push_back(node);
  return node;
}

PickleNode* Machine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("stack underflow");
  return stack_.back();
}

PickleNode* Machine::pop() {
  PickleNode* const node = top();
  stack_.pop_back();
  return node;
}

std::vector<PickleNode*> Machine::pop_to_mark() {
  if (marks_.empty()) fail("no MARK on the stack");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleNode*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

Items Machine::pop_pairs_to_mark() {
  const auto flat = pop_to_mark();
  if (flat.size() % 2 != 0) fail("an odd number of keys and values");
  Items items;
  items.reserve(flat.size() / 2);
  for (std::size_t i = 0; i < flat.size(); i += 2) items.emplace_back(flat[i], flat[i + 1]);
  return items;
}

const std::string& Machine::text_of(const PickleNode* node, std::string_view what) const {
  const auto* text = node->get_if<std::string>();
  if (text == nullptr) fail(std::string(what) + " is " + node->describe() + ", expected a string");
  return *text;
}

void Machine::op_proto() {
  const auto version = in_.read<std::uint8_t>("the protocol number");
  if (version > kHighestProtocol)
    fail("pickle protocol " + std::to_string(version) + ", expected at most " + std::to_string(kHighestProtocol));
}

void Machine::op_int() {
  const std::string_view line = in_.take_line("an INT");
  if (line == "00" || line == "01")
    push_new(line == "01");
  else
    push_decimal(line);
}

void Machine::op_long() {
  std::string_view line = in_.take_line("a LONG");
  if (line.ends_with('L')) line.remove_suffix(1);
  push_decimal(line);
}

void Machine::push_decimal(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) unsupported("a decimal int beyond 64 bits");
  if (error != std::errc{} || end != digits.data() + digits.size())
    fail("'" + printable(digits, 40) + "' is not an int");
  push_new(value);
}

void Machine::op_float() {
  const std::string line(in_.take_line("a FLOAT"));
  char* end = nullptr;
  const double value = std::strtod(line.c_str(), &end);
  if (line.empty() || end != line.c_str() + line.size()) fail("'" + printable(line, 40) + "' is not a float");
  push_new(value);
}

void Machine::op_long4() {
  const auto size = in_.read<std::int32_t>("an int's size");
  if (size < 0) fail("negative size " + std::to_string(size) + " of an int");
  push_long(static_cast<std::uint64_t>(size));
}

void Machine::push_long(std::uint64_t size) {
  const auto bytes = in_.take(size, "an int");
  if (size > 8) {
    push_new(PickleBigInt{std::string(as_chars(bytes))});
    return;
  }
  const bool negative = size > 0 && (static_cast<unsigned>(bytes.back()) & 0x80U) != 0;
  std::array<unsigned char, 8> wide;
  wide.fill(negative ? 0xFF : 0);
  if (size > 0) std::memcpy(wide.data(), bytes.data(), size);
  push_new(std::bit_cast<std::int64_t>(wide));
}

void Machine::op_binfloat() {
  auto bits = in_.read<std::uint64_t>("a float");
  push_new(std::bit_cast<double>(__builtin_bswap64(bits)));  // BINFLOAT alone is big-endian
}

void Machine::op_binstring() {
  const auto size = in_.read<std::int32_t>("a string's size");
  if (size < 0) fail("negative size " + std::to_string(size) + " of a string");
  push_new(std::string(take_text(static_cast<std::uint64_t>(size), "a string")));
}

void Machine::op_bytearray() {
  const auto size = in_.read<std::uint64_t>("the size of a bytearray");
  push_new(PickleBytes{std::string(take_text(size, "a bytearray")), true});
}

/// One escape of a Python string literal or of raw-unicode-escape, appended to `out`; `text` starts after the backslash.
/// Returns how many characters were used, 0 for an escape that is not one.
std::size_t append_escape(std::string_view text, std::string& out);

/// `digits` hexadecimal digits after the letter of an escape, as UTF-8. Returns the characters used, or 0.
std::size_t append_hex_escape(std::string_view text, std::size_t digits, std::string& out) {
  if (text.size() < 1 + digits) return 0;
  std::uint32_t code = 0;
  const char* const first = text.data() + 1;
  const auto [end, error] = std::from_chars(first, first + digits, code, 16);
  if (error != std::errc{} || end != first + digits || code > 0x10FFFF) return 0;
  if (text[0] == 'x')
    out += static_cast<char>(code);
  else
    append_utf8(code, out);
  return 1 + digits;
}

std::size_t append_escape(std::string_view text, std::string& out) {
  if (text.empty()) return 0;
  constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
  if (const auto simple = kLetters.find(text[0]); simple != std::string_view::npos) {
    out += kMeanings[simple];
    return 1;
  }
  if (text[0] == 'x') return append_hex_escape(text, 2, out);
  if (text[0] >= '0' && text[0] <= '7') {
    unsigned value = 0;
    std::size_t used = 0;
    while (used < 3 && used < text.size() && text[used] >= '0' && text[used] <= '7')
      value = value * 8 + static_cast<unsigned>(text[used++] - '0');
    out += static_cast<char>(value & 0xFF);
    return used;
  }
  return 0;
}

void Machine::op_string() {
  std::string_view line = in_.take_line("a STRING");
  if (line.size() < 2 || line.front() != line.back() || (line.front() != '\'' && line.front() != '"'))
    fail("a STRING that is not quoted");
  line = line.substr(1, line.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    const std::size_t used = append_escape(line.substr(i + 1), text);
    if (used == 0) fail("an escape in a STRING that is not one");
    i += used;
  }
  push_new(std::move(text));
}

void Machine::op_unicode() {
  const std::string_view line = in_.take_line("a UNICODE");
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto rest = line.substr(i + 1);
    const bool escape = line[i] == '\\' && !rest.empty() && (rest[0] == 'u' || rest[0] == 'U');
    if (!escape) {
      append_utf8(static_cast<unsigned char>(line[i]), text);  // raw-unicode-escape is Latin-1 otherwise
      continue;
    }
    const std::size_t used = append_hex_escape(rest, rest[0] == 'u' ? 4 : 8, text);
    if (used == 0) fail("an escape in a UNICODE that is not one");
    i += used;
  }
  push_new(std::move(text));
}

void Machine::op_pop() {
  // POP right after MARK removes the mark, as CPython's machine does.
  if (!marks_.empty() && marks_.back() == stack_.size())
    marks_.pop_back();
  else
    pop();
}

std::uint64_t Machine::line_index() {
  const std::string_view line = in_.take_line("a memo index");
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), index);
  if (error != std::errc{} || end != line.data() + line.size())
    fail("'" + printable(line, 40) + "' is not a memo index");
  return index;
}

void Machine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail("memo " + std::to_string(index) + " is read before it is written");
  push(found->second);
}

template <int kCount>
void Machine::op_small_tuple() {
  PickleTuple tuple{std::vector<PickleNode*>(kCount)};
  for (int i = kCount; i-- > 0;) tuple.items[static_cast<std::size_t>(i)] = pop();
  push_new(std::move(tuple));
}

void Machine::op_dict() {
  PickleDict dict;
  dict.items = pop_pairs_to_mark();
  push_new(std::move(dict));
}

void Machine::op_append() {
  PickleNode* const item = pop();
  append({item});
}

void Machine::append(const std::vector<PickleNode*>& items) {
  PickleNode* const target = top();
  std::vector<PickleNode*>* list = nullptr;
  if (auto* plain = target->get_if<PickleList>()) list = &plain->items;
  if (auto* object = target->get_if<PickleObject>()) list = &object->appended;
  if (list == nullptr) fail("APPEND to " + target->describe() + ", expected a list");
  list->insert(list->end(), items.begin(), items.end());
}

void Machine::op_setitem() {
  PickleNode* const value = pop();
  PickleNode* const key = pop();
  set_items({{key, value}});
}

void Machine::set_items(const Items& items) {
  PickleNode* const target = top();
  Items* pairs = nullptr;
  if (auto* dict = target->get_if<PickleDict>()) pairs = &dict->items;
  if (auto* object = target->get_if<PickleObject>()) pairs = &object->items;
  if (pairs == nullptr) fail("SETITEM on " + target->describe() + ", expected a dict");
  pairs->insert(pairs->end(), items.begin(), items.end());
}

void Machine::op_additems() {
  const auto items = pop_to_mark();
  PickleNode* const target = top();
  auto* set = target->get_if<PickleSet>();
  if (set == nullptr || set->frozen) fail("ADDITEMS to " + target->describe() + ", expected a set");
  set->items.insert(set->items.end(), items.begin(), items.end());
}

void Machine::op_global() {
  const std::string_view module = in_.take_line("a module's name");
  push_global(module, in_.take_line("a name in a module"));
}

void Machine::push_global(std::string_view module, std::string_view name) {
  if (module.size() > kMaxNameSize || name.size() > kMaxNameSize)
    fail("a module's or class's name of " + std::to_string(std::max(module.size(), name.size())) + " bytes, expected at most " +
         std::to_string(kMaxNameSize));
  push_new(PickleGlobal{std::string(module), std::string(name)});
}

void Machine::op_stack_global() {
  const PickleNode* const name = pop();
  const PickleNode* const module = pop();
  push_global(text_of(module, "a module's name"), text_of(name, "a name in a module"));
}

void Machine::op_inst() {
  op_global();
  PickleNode* const type = pop();
  PickleNode* const args = make(PickleTuple{pop_to_mark()});
  PickleObject object;
  object.how = PickleObject::How::kInst;
  object.callable = type;
  object.args = args;
  push_new(std::move(object));
}

void Machine::op_obj() {
  auto items = pop_to_mark();
  if (items.empty()) fail("OBJ without a class");
  PickleObject object;
  object.how = PickleObject::How::kInst;
  object.callable = items.front();
  items.erase(items.begin());
  object.args = make(PickleTuple{std::move(items)});
  push_new(std::move(object));
}

void Machine::op_newobj() {
  PickleObject object;
  object.how = PickleObject::How::kNewObj;
  object.args = pop();
  object.callable = pop();
  if (object.args->get_if<PickleTuple>() == nullptr)
    fail("the arguments of NEWOBJ are " + object.args->describe() + ", expected a tuple");
  push_new(std::move(object));
}

void Machine::op_newobj_ex() {
  PickleObject object;
  object.how = PickleObject::How::kNewObjEx;
  object.kwargs = pop();
  object.args = pop();
  object.callable = pop();
  if (object.args->get_if<PickleTuple>() == nullptr || object.kwargs->get_if<PickleDict>() == nullptr)
    fail("the arguments of NEWOBJ_EX are " + object.args->describe() + " and " + object.kwargs->describe() +
         ", expected a tuple and a dict");
  push_new(std::move(object));
}

void Machine::op_reduce() {
  PickleNode* const args = pop();
  PickleNode* const callable = pop();
  const auto* tuple = args->get_if<PickleTuple>();
  if (tuple == nullptr) fail("the arguments of REDUCE are " + args->describe() + ", expected a tuple");
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

void Machine::op_build() {
  PickleNode* const state = pop();
  PickleNode* const target = top();
  if (auto* object = target->get_if<PickleObject>(); object != nullptr && object->state == nullptr)
    object->state = state;
  else if (auto* dict = target->get_if<PickleDict>(); dict != nullptr && dict->ordered && dict->state == nullptr)
    dict->state = state;
  else
    fail("BUILD on " + target->describe() + ", expected an object without state");
}

void Machine::op_persid() {
  persistent(make(std::string(in_.take_line("a persistent id"))));
}

void Machine::persistent(PickleNode* id) {
  PickleNode* const loaded = load_ ? load_(*arena_, *id, opcode_place_) : nullptr;
  push(loaded != nullptr ? loaded : make(PicklePersistentId{id}));
}

PickleNode* Machine::interpreted(const PickleGlobal& callable, const PickleTuple& args) {
  if (callable.module == "torch._utils") {
    if (callable.name == "_rebuild_tensor_v2") return rebuilt_tensor(args, true);
    if (callable.name == "_rebuild_tensor") return rebuilt_tensor(args, false);
    if (callable.name == "_rebuild_parameter") return rebuilt_parameter(args);
  }
  if (callable.module == "collections" && callable.name == "OrderedDict") return ordered_dict(args);
  return nullptr;
}

std::vector<std::int64_t> Machine::sizes_of(const PickleNode& node, std::string_view what) const {
  const auto* tuple = &node;
  // torch.Size((2, 3)) in files of some versions
  if (const auto* object = node.get_if<PickleObject>()) {
    const auto* args = object->args == nullptr ? nullptr : object->args->get_if<PickleTuple>();
    if (args != nullptr && args->items.size() == 1) tuple = args->items[0];
  }
  const auto* items = tuple->get_if<PickleTuple>();
  if (items == nullptr) fail("a tensor's " + std::string(what) + " is " + node.describe() + ", expected a tuple of ints");
  std::vector<std::int64_t> sizes;
  for (const PickleNode* item : items->items) {
    const auto* size = item->get_if<std::int64_t>();
    if (size == nullptr)
      fail("a tensor's " + std::string(what) + " holds " + item->describe() + ", expected ints");
    sizes.push_back(*size);
  }
  return sizes;
}

PickleNode* Machine::rebuilt_tensor(const PickleTuple& args, bool has_requires_grad) {
  const std::size_t expected = has_requires_grad ? 6 : 4;
  if (args.items.size() < 4 || (has_requires_grad && args.items.size() < expected) || args.items.size() > expected + 1)
    fail("a tensor with " + std::to_string(args.items.size()) + " arguments, expected " + std::to_string(expected));
  const auto* storage = args.items[0]->get_if<PickleStorage>();
  if (storage == nullptr) {
    if (args.items[0]->get_if<PicklePersistentId>() != nullptr) return nullptr;  // nobody resolves storages here
    fail("a tensor over " + args.items[0]->describe() + ", expected a storage");
  }
  const auto* offset = args.items[1]->get_if<std::int64_t>();
  if (offset == nullptr) fail("a tensor's offset is " + args.items[1]->describe() + ", expected an int");
  TensorView view{storage->storage, *offset, sizes_of(*args.items[2], "shape"), sizes_of(*args.items[3], "stride"), false};
  if (const std::string problem = view_problem(view.offset, view.shape, view.stride, view.storage->numel());
      !problem.empty())
    fail("bad tensor: " + problem);
  if (has_requires_grad) {
    const auto* requires_grad = args.items[4]->get_if<bool>();
    if (requires_grad == nullptr) fail("a tensor's requires_grad is " + args.items[4]->describe() + ", expected a bool");
    view.requires_grad = *requires_grad;
  }
  return make(PickleTensor{std::move(view), false});
}

PickleNode* Machine::rebuilt_parameter(const PickleTuple& args) {
  if (args.items.size() != 3) fail("a parameter with " + std::to_string(args.items.size()) + " arguments, expected 3");
  const auto* data = args.items[0]->get_if<PickleTensor>();
  if (data == nullptr) {
    if (args.items[0]->get_if<PickleObject>() != nullptr) return nullptr;
    fail("a parameter over " + args.items[0]->describe() + ", expected a tensor");
  }
  const auto* requires_grad = args.items[1]->get_if<bool>();
  if (requires_grad == nullptr) fail("a parameter's requires_grad is " + args.items[1]->describe() + ", expected a bool");
  TensorView view = data->view;
  view.requires_grad = *requires_grad;
  return make(PickleTensor{std::move(view), true});
}

PickleNode* Machine::ordered_dict(const PickleTuple& args) {
  PickleDict dict;
  dict.ordered = true;
  if (args.items.empty()) return make(std::move(dict));
  const auto* pairs = args.items.size() == 1 ? args.items[0]->get_if<PickleList>() : nullptr;
  if (pairs == nullptr) return nullptr;
  copied_items_ += pairs->items.size();  // one list, called for again and again through the memo
  if (copied_items_ > kMaxNodes) fail("more than " + std::to_string(kMaxNodes) + " items of OrderedDicts made from lists");
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

/// Python would keep the last of equal keys; no pickler writes any, so a file that has them is hostile or damaged.
void Machine::check_duplicates() const {
  // Equal texts have one representative, found once: a long key that many dicts share must not be compared in each.
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
      if (!seen.insert(known->second).second) fail("a dict holds the key '" + printable(*text) + "' twice");
    }
  }
}

void Machine::add_scalar_handlers(std::array<Handler, 256>& table) {
  table[0x80] = &Machine::op_proto;
  table[0x95] = &Machine::op_frame;
  table['N'] = &Machine::op_none;
  table[0x88] = &Machine::op_true;
  table[0x89] = &Machine::op_false;
  table['I'] = &Machine::op_int;
  table['L'] = &Machine::op_long;
  table['F'] = &Machine::op_float;
  table['J'] = &Machine::op_binint;
  table['K'] = &Machine::op_binint1;
  table['M'] = &Machine::op_binint2;
  table[0x8a] = &Machine::op_long1;
  table[0x8b] = &Machine::op_long4;
  table['G'] = &Machine::op_binfloat;
  table['S'] = &Machine::op_string;
  table['T'] = &Machine::op_binstring;
  table['U'] = &Machine::op_counted_string<std::uint8_t>;
  table['V'] = &Machine::op_unicode;
  table[0x8c] = &Machine::op_counted_string<std::uint8_t>;
  table['X'] = &Machine::op_counted_string<std::uint32_t>;
  table[0x8d] = &Machine::op_counted_string<std::uint64_t>;
  table['C'] = &Machine::op_counted_bytes<std::uint8_t>;
  table['B'] = &Machine::op_counted_bytes<std::uint32_t>;
  table[0x8e] = &Machine::op_counted_bytes<std::uint64_t>;
  table[0x96] = &Machine::op_bytearray;
}

void Machine::add_container_handlers(std::array<Handler, 256>& table) {
  table['('] = &Machine::op_mark;
  table['0'] = &Machine::op_pop;
  table['1'] = &Machine::op_pop_mark;
  table['2'] = &Machine::op_dup;
  table['p'] = &Machine::op_put;
  table['q'] = &Machine::op_binput;
  table['r'] = &Machine::op_long_binput;
  table[0x94] = &Machine::op_memoize;
  table['g'] = &Machine::op_get;
  table['h'] = &Machine::op_binget;
  table['j'] = &Machine::op_long_binget;
  table[')'] = &Machine::op_empty_tuple;
  table[']'] = &Machine::op_empty_list;
  table['}'] = &Machine::op_empty_dict;
  table[0x8f] = &Machine::op_empty_set;
  table['t'] = &Machine::op_tuple;
  table[0x85] = &Machine::op_small_tuple<1>;
  table[0x86] = &Machine::op_small_tuple<2>;
  table[0x87] = &Machine::op_small_tuple<3>;
  table['l'] = &Machine::op_list;
  table['d'] = &Machine::op_dict;
  table[0x91] = &Machine::op_frozenset;
  table['a'] = &Machine::op_append;
  table['e'] = &Machine::op_appends;
  table['s'] = &Machine::op_setitem;
  table['u'] = &Machine::op_setitems;
  table[0x90] = &Machine::op_additems;
}

void Machine::add_object_handlers(std::array<Handler, 256>& table) {
  table['c'] = &Machine::op_global;
  table[0x93] = &Machine::op_stack_global;
  table['i'] = &Machine::op_inst;
  table['o'] = &Machine::op_obj;
  table[0x81] = &Machine::op_newobj;
  table[0x92] = &Machine::op_newobj_ex;
  table['R'] = &Machine::op_reduce;
  table['b'] = &Machine::op_build;
  table['P'] = &Machine::op_persid;
  table['Q'] = &Machine::op_binpersid;
  table[0x82] = table[0x83] = table[0x84] = &Machine::op_extension;
  table[0x97] = table[0x98] = &Machine::op_buffer;
  table['.'] = &Machine::op_stop;
}

const std::array<Machine::Handler, 256>& Machine::handlers() {
  static const std::array<Handler, 256> table = [] {
    std::array<Handler, 256> made{};
    add_scalar_handlers(made);
    add_container_handlers(made);
    add_object_handlers(made);
    return made;
  }();
  return table;
}

}  // namespace

PickleTree unpickle(ByteReader& in, const PersistentLoader& load) { return Machine(in, load).run(); }

}  // namespace compat
