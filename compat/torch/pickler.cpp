#include "compat/torch/pickler.h"

#include <algorithm>
#include <bit>
#include <span>
#include <unordered_map>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace compat {
namespace {

/// CPython's recursion limit. Python writes nothing that nests deeper.
constexpr int kMaxPickleDepth = 1000;
/// CPython writes lists and dicts in batches of this size.
constexpr std::size_t kBatch = 1000;

class Writer {
 public:
  explicit Writer(const PickleStorageNames& storages) : storages_(storages) {}

  std::string write(const PickleNode& root) {
    out_ = "\x80\x02";
    save(&root);
    out_ += '.';
    return std::move(out_);
  }

 private:
  template <class T>
  void raw(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void op(char code) { out_ += code; }
  void memoize(const void* object);
  bool recall(const void* object);

  void save(const PickleNode* node);
  void save_all(const std::vector<PickleNode*>& nodes) {
    for (const PickleNode* node : nodes) save(node);
  }
  void save_appends(const std::vector<PickleNode*>& items);
  void save_setitems(const std::vector<std::pair<PickleNode*, PickleNode*>>& items);
  void save_text(std::string_view text);
  void save_int(std::int64_t value);
  void save_global(std::string_view module, std::string_view name);
  void save_name(const std::string& module, const std::string& name);
  void save_word(const std::string& word);
  void save_sizes(std::span<const std::int64_t> sizes);
  void save_storage(const std::shared_ptr<const Storage>& storage,
                    std::string_view class_name = {});
  void save_rebuilt_tensor(const PickleTensor& value);
  void no_hooks();
  void build(const PickleNode* state) {
    if (state == nullptr) return;
    save(state);
    op('b');
  }

  // One function per kind of node. `node` is the key in the memo.
  void put(const PickleNode*, const PickleNone&) { op('N'); }
  void put(const PickleNode*, bool value) { op(value ? '\x88' : '\x89'); }
  void put(const PickleNode*, std::int64_t value) { save_int(value); }
  void put(const PickleNode*, const PickleBigInt& value);
  void put(const PickleNode*, double value) {
    op('G');
    raw(__builtin_bswap64(std::bit_cast<std::uint64_t>(value)));
  }
  void put(const PickleNode* node, const std::string& value) {
    save_text(value);
    memoize(node);
  }
  void put(const PickleNode* node, const PickleBytes& value);
  void put(const PickleNode* node, const PickleTuple& value);
  void put(const PickleNode* node, const PickleList& value) {
    op(']');
    memoize(node);
    save_appends(value.items);
  }
  void put(const PickleNode* node, const PickleSet& value);
  void put(const PickleNode* node, const PickleDict& value);
  void put(const PickleNode* node, const PickleGlobal& value) {
    save_global(value.module, value.name);
    memoize(node);
  }
  void put(const PickleNode* node, const PickleObject& value);
  void put(const PickleNode*, const PicklePersistentId& value) {
    save(value.id);
    op('Q');
  }
  void put(const PickleNode* node, const PickleTensor& value);
  void put(const PickleNode*, const PickleStorage& value) {
    save_storage(value.storage, value.class_name);
  }

  const PickleStorageNames& storages_;
  std::string out_;
  std::unordered_map<const void*, std::uint32_t> memo_;
  /// Memo of the names that the writer adds itself (torch's functions, "storage", "cpu"). They have
  /// no node, so their text is the key.
  std::unordered_map<std::string, std::uint32_t> words_;
  std::uint32_t next_ = 0;
  int depth_ = 0;
};

void append_put(std::string& out, std::uint32_t index) {
  if (index < 256) {
    out += 'q';
    out += static_cast<char>(index);
  } else {
    out += 'r';
    out.append(reinterpret_cast<const char*>(&index), sizeof index);
  }
}

void append_get(std::string& out, std::uint32_t index) {
  if (index < 256) {
    out += 'h';
    out += static_cast<char>(index);
  } else {
    out += 'j';
    out.append(reinterpret_cast<const char*>(&index), sizeof index);
  }
}

void Writer::memoize(const void* object) {
  memo_.emplace(object, next_);
  append_put(out_, next_++);
}

bool Writer::recall(const void* object) {
  const auto found = memo_.find(object);
  if (found == memo_.end()) return false;
  append_get(out_, found->second);
  return true;
}

void Writer::save(const PickleNode* node) {
  if (recall(node)) return;
  if (++depth_ > kMaxPickleDepth)
    throw UnsupportedError(
        concat("values nest deeper than ", kMaxPickleDepth, ", which Python could not read back"));
  std::visit([&](const auto& value) { put(node, value); }, node->value);
  --depth_;
}

void Writer::save_text(std::string_view text) {
  // Text that is not UTF-8 came from a Python 2 str and is written as one.
  op(first_invalid_utf8(text) == std::string_view::npos ? 'X' : 'T');
  if (text.size() > 0x7FFFFFFF) throw UnsupportedError("a string of more than 2 GiB in a pickle");
  raw(static_cast<std::uint32_t>(text.size()));
  out_ += text;
}

void Writer::save_int(std::int64_t value) {
  if (value >= 0 && value < 256) {
    op('K');
    raw(static_cast<std::uint8_t>(value));
  } else if (value >= 0 && value < 65536) {
    op('M');
    raw(static_cast<std::uint16_t>(value));
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    op('J');
    raw(static_cast<std::int32_t>(value));
  } else {
    // LONG1, with the fewest bytes that keep the sign.
    int size = 8;
    while (size > 1 && (value << (64 - 8 * (size - 1))) >> (64 - 8 * (size - 1)) == value) --size;
    op('\x8a');
    op(static_cast<char>(size));
    out_.append(reinterpret_cast<const char*>(&value), static_cast<std::size_t>(size));
  }
}

void Writer::put(const PickleNode*, const PickleBigInt& value) {
  if (value.bytes.size() < 256) {
    op('\x8a');
    op(static_cast<char>(value.bytes.size()));
  } else {
    op('\x8b');
    raw(static_cast<std::uint32_t>(value.bytes.size()));
  }
  out_ += value.bytes;
}

void Writer::put(const PickleNode* node, const PickleBytes& value) {
  // These opcodes belong to later protocols. Every Python 3 reads them whatever PROTO says.
  if (value.is_bytearray) {
    op('\x96');
    raw(static_cast<std::uint64_t>(value.bytes.size()));
  } else {
    op('\x8e');
    raw(static_cast<std::uint64_t>(value.bytes.size()));
  }
  out_ += value.bytes;
  memoize(node);
}

void Writer::put(const PickleNode* node, const PickleTuple& value) {
  const std::size_t size = value.items.size();
  if (size == 0) {
    op(')');
    return;
  }
  if (size > 3) op('(');
  save_all(value.items);
  if (memo_.contains(node)) {  // an item refers to the tuple: it is already written
    if (size > 3)
      op('1');
    else
      out_.append(size, '0');
    recall(node);
    return;
  }
  op(size > 3 ? 't' : static_cast<char>(0x84 + size));
  memoize(node);
}

void Writer::put(const PickleNode* node, const PickleSet& value) {
  if (value.frozen) {
    op('(');
    save_all(value.items);
    op('\x91');
    memoize(node);
    return;
  }
  op('\x8f');
  memoize(node);
  if (value.items.empty()) return;
  op('(');
  save_all(value.items);
  op('\x90');
}

void Writer::put(const PickleNode* node, const PickleDict& value) {
  if (value.ordered) {
    save_name("collections", "OrderedDict");
    out_ += ")R";
  } else {
    op('}');
  }
  memoize(node);
  save_setitems(value.items);
  build(value.state);
}

void Writer::save_appends(const std::vector<PickleNode*>& items) {
  for (std::size_t at = 0; at < items.size(); at += kBatch) {
    const std::size_t count = std::min(kBatch, items.size() - at);
    if (count > 1) op('(');
    for (std::size_t i = at; i < at + count; ++i) save(items[i]);
    op(count > 1 ? 'e' : 'a');
  }
}

void Writer::save_setitems(const std::vector<std::pair<PickleNode*, PickleNode*>>& items) {
  for (std::size_t at = 0; at < items.size(); at += kBatch) {
    const std::size_t count = std::min(kBatch, items.size() - at);
    if (count > 1) op('(');
    for (std::size_t i = at; i < at + count; ++i) {
      save(items[i].first);
      save(items[i].second);
    }
    op(count > 1 ? 'u' : 's');
  }
}

void Writer::save_global(std::string_view module, std::string_view name) {
  if (module.find('\n') != std::string_view::npos || name.find('\n') != std::string_view::npos) {
    save_text(module);  // STACK_GLOBAL: GLOBAL cannot hold a newline
    save_text(name);
    op('\x93');
    return;
  }
  op('c');
  out_.append(module) += '\n';
  out_.append(name) += '\n';
}

void Writer::put(const PickleNode* node, const PickleObject& value) {
  using How = PickleObject::How;
  if (value.how == How::kInst) {
    op('(');
    save(value.callable);
    save_all(value.args->get_if<PickleTuple>()->items);
    op('o');
  } else {
    save(value.callable);
    save(value.args);
    if (value.how == How::kNewObjEx) save(value.kwargs);
    op(value.how == How::kReduce ? 'R' : value.how == How::kNewObj ? '\x81' : '\x92');
  }
  memoize(node);
  save_appends(value.appended);
  save_setitems(value.items);
  build(value.state);
}

void Writer::save_name(const std::string& module, const std::string& name) {
  const auto [found, is_new] = words_.emplace(module + "\n" + name, next_);
  if (!is_new) {
    append_get(out_, found->second);
    return;
  }
  save_global(module, name);
  append_put(out_, next_++);
}

void Writer::save_word(const std::string& word) {
  const auto [found, is_new] = words_.emplace(word, next_);
  if (!is_new) {
    append_get(out_, found->second);
    return;
  }
  save_text(word);
  append_put(out_, next_++);
}

void Writer::save_sizes(std::span<const std::int64_t> sizes) {
  if (sizes.empty()) {
    op(')');
    return;
  }
  if (sizes.size() > 3) op('(');
  for (const std::int64_t size : sizes) save_int(size);
  op(sizes.size() > 3 ? 't' : static_cast<char>(0x84 + sizes.size()));
  append_put(out_, next_++);
}

void Writer::save_storage(const std::shared_ptr<const Storage>& storage,
                          std::string_view class_name) {
  if (!storages_.key_of) throw UnsupportedError("a tensor in a pickle without storages");
  const std::string key = storages_.key_of(storage);
  op('(');
  save_word("storage");
  save_name("torch",
            std::string(class_name.empty() ? storage_class(storage->dtype()) : class_name));
  save_word(key);  // torch uses one str per storage, so the memo holds it
  save_word("cpu");
  save_int(static_cast<std::int64_t>(storage->numel()));
  if (storages_.legacy) op('N');
  op('t');
  append_put(out_, next_++);
  op('Q');
}

void Writer::no_hooks() {
  save_name("collections", "OrderedDict");
  out_ += ")R";
  append_put(out_, next_++);
}

/// The arguments of _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks), a
/// tuple.
void Writer::save_rebuilt_tensor(const PickleTensor& value) {
  op('(');
  save_storage(value.view.storage);
  save_int(value.view.offset);
  save_sizes(value.view.shape);
  save_sizes(value.view.stride);
  op(value.view.requires_grad && !value.is_parameter ? '\x88' : '\x89');
  no_hooks();
  op('t');
  append_put(out_, next_++);
}

void Writer::put(const PickleNode* node, const PickleTensor& value) {
  const bool attributes = value.attributes != nullptr;
  if (value.is_parameter) {
    save_name("torch._utils", attributes ? "_rebuild_parameter_with_state" : "_rebuild_parameter");
    if (attributes) op('(');
  } else if (attributes) {  // _rebuild_from_type_v2(function, class, arguments, state)
    save_name("torch._tensor", "_rebuild_from_type_v2");
    op('(');
    save_name("torch._utils", "_rebuild_tensor_v2");
    save_name("torch", "Tensor");
    save_rebuilt_tensor(value);
    save(value.attributes);
    op('t');
    append_put(out_, next_++);
    op('R');
    return memoize(node);
  }
  save_name("torch._utils", "_rebuild_tensor_v2");
  save_rebuilt_tensor(value);
  op('R');
  append_put(out_, next_++);
  if (!value.is_parameter) {
    memo_.emplace(node, next_ - 1);
    return;
  }
  op(value.view.requires_grad ? '\x88' : '\x89');
  no_hooks();
  if (attributes) save(value.attributes);
  op(attributes ? 't' : '\x87');
  append_put(out_, next_++);
  op('R');
  memoize(node);
}

}  // namespace

std::string pickled(const PickleNode& root, const PickleStorageNames& storages) {
  return Writer(storages).write(root);
}

}  // namespace compat
