// What a pickle holds, as inert data. Nothing here is ever called: a class is a name, an object is
// the name of its callable with its arguments and state.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compat/torch/tensor.h"

namespace compat {

struct PickleNode;

struct PickleNone {};
/// An integer beyond 64 bits: two's complement, little-endian, as LONG1 stores it.
struct PickleBigInt {
  std::string bytes;
};
struct PickleBytes {
  std::string bytes;
  bool is_bytearray = false;
};
struct PickleTuple {
  std::vector<PickleNode*> items;
};
struct PickleList {
  std::vector<PickleNode*> items;
};
struct PickleSet {
  std::vector<PickleNode*> items;
  bool frozen = false;
};
/// dict, or collections.OrderedDict when `ordered`. `state`: attributes set on an OrderedDict
/// (torch's _metadata) or null.
struct PickleDict {
  std::vector<std::pair<PickleNode*, PickleNode*>> items;
  bool ordered = false;
  PickleNode* state = nullptr;
};
/// A class or function by name. Never imported.
struct PickleGlobal {
  std::string module, name;
};
/// callable(*args), not called. `how` says which opcode made it so that a writer can repeat it.
struct PickleObject {
  enum class How : std::uint8_t { kReduce, kNewObj, kNewObjEx, kInst };
  How how = How::kReduce;
  PickleNode* callable = nullptr;                          ///< Usually a PickleGlobal.
  PickleNode* args = nullptr;                              ///< A PickleTuple.
  PickleNode* kwargs = nullptr;                            ///< A PickleDict, kNewObjEx only.
  PickleNode* state = nullptr;                             ///< BUILD's argument, or null.
  std::vector<PickleNode*> appended;                       ///< APPEND(S): a list subclass.
  std::vector<std::pair<PickleNode*, PickleNode*>> items;  ///< SETITEM(S): a defaultdict, say.
};
/// A persistent id that the caller's loader did not interpret.
struct PicklePersistentId {
  PickleNode* id = nullptr;
};
/// A torch tensor: _rebuild_tensor_v2 (or _rebuild_parameter around one) with a storage that the
/// loader resolved. `attributes`: what its __dict__ holds besides (nn.Buffer's flags, say), or
/// null.
struct PickleTensor {
  TensorView view;
  bool is_parameter = false;
  PickleNode* attributes = nullptr;
};
/// A storage by itself (a persistent id the loader resolved). `class_name`: torch's class when its
/// elements are none of DType's (quantized ones); their bytes are kept as integers of the same
/// size.
struct PickleStorage {
  std::shared_ptr<const Storage> storage;
  std::string class_name;
};

struct PickleNode {
  using Variant =
      std::variant<PickleNone, bool, std::int64_t, PickleBigInt, double, std::string, PickleBytes,
                   PickleTuple, PickleList, PickleSet, PickleDict, PickleGlobal, PickleObject,
                   PicklePersistentId, PickleTensor, PickleStorage>;
  Variant value;

  template <class T>
  const T* get_if() const noexcept {
    return std::get_if<T>(&value);
  }
  template <class T>
  T* get_if() noexcept {
    return std::get_if<T>(&value);
  }

  bool is_none() const noexcept { return std::holds_alternative<PickleNone>(value); }

  /// The value under a string key: of a dict, of an object's dict state (Namespace), of an object's
  /// own items. Null if none.
  const PickleNode* find(std::string_view key) const noexcept;

  /// "a dict", "an int", "an omegaconf.dictconfig.DictConfig": for messages.
  std::string describe() const;
};

/// Owns nodes. Nodes may refer to each other in cycles and to nodes of another arena that outlives
/// this one.
class PickleArena {
 public:
  PickleNode* make(PickleNode::Variant value);
  // Shorthands for building what is to be written.
  PickleNode* none() { return make(PickleNone{}); }
  PickleNode* integer(std::int64_t value) { return make(value); }
  PickleNode* real(double value) { return make(value); }
  PickleNode* real_or_none(std::optional<double> value) { return value ? real(*value) : none(); }
  PickleNode* boolean(bool value) { return make(value); }
  PickleNode* string(std::string value) { return make(std::move(value)); }
  PickleNode* tensor(TensorView view) { return make(PickleTensor{std::move(view)}); }
  /// Adds an entry whose key lives here.
  void put(PickleDict& dict, std::string key, PickleNode* value) {
    dict.items.emplace_back(string(std::move(key)), value);
  }
  std::size_t size() const noexcept { return nodes_.size(); }
  /// Keeps another arena alive whose nodes this one's refer to.
  void keep(std::shared_ptr<const PickleArena> other) { others_.push_back(std::move(other)); }

 private:
  std::deque<PickleNode> nodes_;
  std::vector<std::shared_ptr<const PickleArena>> others_;
};

/// A pickle with the arena its nodes live in. Copies share the arena.
struct PickleTree {
  std::shared_ptr<PickleArena> arena;
  PickleNode* root = nullptr;
};

}  // namespace compat
