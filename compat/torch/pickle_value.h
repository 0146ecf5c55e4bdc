// The values of a pickle, as plain data. Nothing is called: a class is a name, an object is the
// name of its callable with arguments and state.
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
/// An integer beyond 64 bits in two's complement, little-endian, as LONG1 stores it.
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
/// A dict, or a collections.OrderedDict when `ordered`. `state` holds attributes of an OrderedDict
/// (torch's _metadata) or is null.
struct PickleDict {
  std::vector<std::pair<PickleNode*, PickleNode*>> items;
  bool ordered = false;
  PickleNode* state = nullptr;
};
/// A class or function by name. Never imported.
struct PickleGlobal {
  std::string module, name;
};
/// The object that callable(*args) would make; it is not called. `how` is the opcode that made it,
/// so that a writer can repeat it.
struct PickleObject {
  enum class How : std::uint8_t { kReduce, kNewObj, kNewObjEx, kInst };
  How how = How::kReduce;
  PickleNode* callable = nullptr;     ///< Usually a PickleGlobal.
  PickleNode* args = nullptr;         ///< A PickleTuple.
  PickleNode* kwargs = nullptr;       ///< A PickleDict, kNewObjEx only.
  PickleNode* state = nullptr;        ///< BUILD's argument, or null.
  std::vector<PickleNode*> appended;  ///< APPEND(S): a list subclass.
  std::vector<std::pair<PickleNode*, PickleNode*>>
      items;  ///< SETITEM(S): for example of a defaultdict.
};
/// A persistent id that the caller's loader did not interpret.
struct PicklePersistentId {
  PickleNode* id = nullptr;
};
/// A torch tensor whose storage the loader resolved: _rebuild_tensor_v2, or _rebuild_parameter
/// around it. `attributes` holds what else its __dict__ has (for example nn.Buffer's flags), or is
/// null.
struct PickleTensor {
  TensorView view;
  bool is_parameter = false;
  PickleNode* attributes = nullptr;
};
/// A storage outside a tensor, from a persistent id that the loader resolved. `class_name` is
/// torch's class when DType has no such elements (quantized ones). Their bytes are then kept as
/// integers of the same size.
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

  /// The value under a string key of a dict, of an object's dict state (Namespace), or of an
  /// object's own items. Null when there is none.
  const PickleNode* find(std::string_view key) const noexcept;

  /// A short description for messages: "a dict", "an int", "an omegaconf.dictconfig.DictConfig".
  std::string describe() const;
};

/// Owns nodes. Nodes may refer to each other in cycles, and to nodes of another arena that lives
/// longer.
class PickleArena {
 public:
  PickleNode* make(PickleNode::Variant value);
  // Functions that build nodes to be written.
  PickleNode* none() { return make(PickleNone{}); }
  PickleNode* integer(std::int64_t value) { return make(value); }
  PickleNode* real(double value) { return make(value); }
  PickleNode* real_or_none(std::optional<double> value) { return value ? real(*value) : none(); }
  PickleNode* boolean(bool value) { return make(value); }
  PickleNode* string(std::string value) { return make(std::move(value)); }
  PickleNode* tensor(TensorView view) { return make(PickleTensor{std::move(view)}); }
  /// Adds an entry. The arena owns its key.
  void put(PickleDict& dict, std::string key, PickleNode* value) {
    dict.items.emplace_back(string(std::move(key)), value);
  }
  std::size_t size() const noexcept { return nodes_.size(); }
  /// Keeps another arena alive, to whose nodes this arena's nodes refer.
  void keep(std::shared_ptr<const PickleArena> other) { others_.push_back(std::move(other)); }

 private:
  std::deque<PickleNode> nodes_;
  std::vector<std::shared_ptr<const PickleArena>> others_;
};

/// The root of a pickle with the arena of its nodes. Copies share the arena.
struct PickleTree {
  std::shared_ptr<PickleArena> arena;
  PickleNode* root = nullptr;
};

}  // namespace compat
