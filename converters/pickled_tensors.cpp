#include "converters/pickled_tensors.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "compat/base/concat.h"

namespace converters {
namespace {

using compat::PickleNode;

constexpr std::size_t kLongestName = 512;
constexpr std::uint32_t kNoParent = UINT32_MAX;

/// A node of the traversal, and its name in its container.
struct Place {
  const PickleNode* node;
  std::uint32_t parent;
  const std::string* key;  ///< Null when the node is element `index`.
  std::int64_t index;
};

class Walk {
 public:
  explicit Walk(const PickleNode& root) : places_{{&root, kNoParent, nullptr, 0}}, waiting_{0} {
    entered_.insert(&root);
  }

  /// Advances to the next tensor. Null at the end.
  const compat::PickleTensor* next() {
    while (!waiting_.empty()) {
      at_ = waiting_.back();
      waiting_.pop_back();
      if (const auto* tensor = node()->get_if<compat::PickleTensor>()) return tensor;
      enter(*node());
    }
    return nullptr;
  }

  const PickleNode* node() const { return places_[at_].node; }

  std::string name() const {
    std::string name;
    for (std::uint32_t at = at_; places_[at].parent != kNoParent && name.size() < kLongestName;
         at = places_[at].parent) {
      const Place& place = places_[at];
      if (place.key == nullptr)
        name.insert(0, compat::concat('[', place.index, ']'));
      else
        name.insert(0, "." + place.key->substr(0, kLongestName));
    }
    return name.starts_with('.') ? name.substr(1) : name;
  }

 private:
  void enter(const PickleNode& node) {
    const std::size_t first = waiting_.size();
    if (const auto* dict = node.get_if<compat::PickleDict>()) {
      push_items(dict->items);
      push_state(dict->state);
    } else if (const auto* list = node.get_if<compat::PickleList>()) {
      push_all(list->items);
    } else if (const auto* tuple = node.get_if<compat::PickleTuple>()) {
      push_all(tuple->items);
    } else if (const auto* object = node.get_if<compat::PickleObject>()) {
      push_state(object->state);
      push_items(object->items);
      push_all(object->appended);
      if (object->args != nullptr) push(object->args, nullptr, 0);
    }
    std::reverse(waiting_.begin() + static_cast<std::ptrdiff_t>(first), waiting_.end());
  }

  void push_all(const std::vector<PickleNode*>& items) {
    for (std::size_t i = 0; i < items.size(); ++i)
      push(items[i], nullptr, static_cast<std::int64_t>(i));
  }
  void push_items(const std::vector<std::pair<PickleNode*, PickleNode*>>& items) {
    for (const auto& [key, value] : items) {
      const auto* number = key->get_if<std::int64_t>();
      push(value, key->get_if<std::string>(), number == nullptr ? 0 : *number);
    }
  }
  /// An object's own dict. Its keys are those of the object.
  void push_state(const PickleNode* state) {
    if (state == nullptr || !entered_.insert(state).second) return;
    if (const auto* dict = state->get_if<compat::PickleDict>())
      push_items(dict->items);
    else if (const auto* tuple = state->get_if<compat::PickleTuple>())
      push_all(tuple->items);
  }
  void push(const PickleNode* node, const std::string* key, std::int64_t index) {
    if (node == nullptr) return;
    if (node->get_if<compat::PickleTensor>() == nullptr &&
        (!holds_others(*node) || !entered_.insert(node).second))
      return;
    waiting_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.push_back({node, at_, key, index});
  }
  static bool holds_others(const PickleNode& node) {
    return node.get_if<compat::PickleDict>() != nullptr ||
           node.get_if<compat::PickleList>() != nullptr ||
           node.get_if<compat::PickleTuple>() != nullptr ||
           node.get_if<compat::PickleObject>() != nullptr;
  }

  std::vector<Place> places_;
  std::vector<std::uint32_t> waiting_;
  std::unordered_set<const PickleNode*> entered_;
  std::uint32_t at_ = 0;
};

}  // namespace

void for_each_tensor(const PickleNode& root,
                     const std::function<void(const std::string& name, const PickleNode& node,
                                              const compat::TensorView& view)>& visit) {
  Walk walk(root);
  while (const compat::PickleTensor* tensor = walk.next())
    visit(walk.name(), *walk.node(), tensor->view);
}

}  // namespace converters
