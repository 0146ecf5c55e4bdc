#include "compat/torch/numpy_value.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "compat/base/concat.h"

namespace compat {
namespace {

static_assert(std::endian::native == std::endian::little);

const std::vector<PickleNode*>* tuple_of(const PickleNode* node) {
  const auto* tuple = node == nullptr ? nullptr : node->get_if<PickleTuple>();
  return tuple == nullptr ? nullptr : &tuple->items;
}

bool is_numpy(const PickleNode* node, std::string_view name) {
  const auto* global = node == nullptr ? nullptr : node->get_if<PickleGlobal>();
  return global != nullptr && global->name == name &&
         (global->module == "numpy" || global->module == "numpy.core.multiarray" ||
          global->module == "numpy._core.multiarray");
}

/// "f8" of dtype('f8', False, True) in the machine's order; empty for all else.
std::string_view type_of(const PickleNode* node) {
  const auto* object = node == nullptr ? nullptr : node->get_if<PickleObject>();
  if (object == nullptr || !is_numpy(object->callable, "dtype")) return {};
  const auto* args = tuple_of(object->args);
  const auto* state = tuple_of(object->state);
  const auto* name = args == nullptr || args->empty() ? nullptr : (*args)[0]->get_if<std::string>();
  const auto* order =
      state == nullptr || state->size() < 2 ? nullptr : (*state)[1]->get_if<std::string>();
  return name == nullptr || order == nullptr || *order != "<" ? std::string_view() : *name;
}

template <class T>
T number_at(std::string_view bytes, std::size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
  return value;
}

using Read = float (*)(std::string_view bytes, std::size_t i);
struct Type {
  std::string_view name;
  std::size_t size;
  Read read;
};
template <class T>
constexpr Type kType(std::string_view name) {
  return {name, sizeof(T), [](std::string_view bytes, std::size_t i) {
            return static_cast<float>(number_at<T>(bytes, i));
          }};
}

const Type* find_type(std::string_view name) {
  static constexpr Type kTypes[] = {kType<float>("f4"), kType<double>("f8"),
                                    kType<std::int32_t>("i4"), kType<std::int64_t>("i8")};
  for (const Type& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

/// The state of an array: version, shape, dtype, whether columns come first, bytes.
struct State {
  std::vector<std::int64_t> shape;
  const Type* type = nullptr;
  bool by_columns = false;
  std::string_view bytes;
};

State state_of(const PickleNode& node, const Location& where) {
  const auto* object = node.get_if<PickleObject>();
  const auto* items = object == nullptr || !is_numpy(object->callable, "_reconstruct")
                          ? nullptr
                          : tuple_of(object->state);
  if (items == nullptr || items->size() != 5)
    throw FormatError(where, "is " + node.describe() + ", expected a numpy array");
  State state;
  const auto* sizes = tuple_of((*items)[1]);
  const auto* by_columns = (*items)[3]->get_if<bool>();
  const auto* bytes = (*items)[4]->get_if<PickleBytes>();
  state.type = find_type(type_of((*items)[2]));
  if (sizes == nullptr || by_columns == nullptr || bytes == nullptr || state.type == nullptr)
    throw FormatError(where, "is no array of float32, float64, int32 or int64");
  std::uint64_t count = 1;
  for (const PickleNode* size : *sizes) {
    const auto* number = size->get_if<std::int64_t>();
    if (number == nullptr || *number < 0 ||
        __builtin_mul_overflow(count, static_cast<std::uint64_t>(*number), &count))
      throw FormatError(where, "has a size that is no count");
    state.shape.push_back(*number);
  }
  state.by_columns = *by_columns;
  state.bytes = bytes->bytes;
  if (state.bytes.size() % state.type->size != 0 || state.bytes.size() / state.type->size != count)
    throw FormatError(where, concat("has ", state.bytes.size(), " bytes for the shape ",
                                    shape_text(state.shape), " of ", state.type->name));
  return state;
}

}  // namespace

NumpyArray numpy_array(const PickleNode& node, const Location& where) {
  const State state = state_of(node, where);
  NumpyArray array{state.shape, {}};
  const std::size_t count = state.bytes.size() / state.type->size;
  array.values.resize(count);
  const bool transposed = state.by_columns && state.shape.size() == 2;
  if (state.by_columns && state.shape.size() > 2)
    throw FormatError(where, "has columns first in more than two dimensions");
  const auto rows = transposed ? static_cast<std::size_t>(state.shape[0]) : 1;
  const std::size_t columns = rows == 0 ? 0 : count / rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t to = transposed ? (i % rows) * columns + i / rows : i;
    array.values[to] = state.type->read(state.bytes, i);
    if (!std::isfinite(array.values[to]))
      throw FormatError(where, "holds a number that is not finite");
  }
  return array;
}

std::optional<std::int64_t> numpy_integer(const PickleNode& node) {
  if (const auto* number = node.get_if<std::int64_t>()) return *number;
  const auto* object = node.get_if<PickleObject>();
  const auto* args =
      object == nullptr || !is_numpy(object->callable, "scalar") ? nullptr : tuple_of(object->args);
  if (args == nullptr || args->size() != 2) return std::nullopt;
  const std::string_view type = type_of((*args)[0]);
  const auto* bytes = (*args)[1]->get_if<PickleBytes>();
  if (bytes == nullptr) return std::nullopt;
  if (type == "i8" && bytes->bytes.size() == 8) return number_at<std::int64_t>(bytes->bytes, 0);
  if (type == "i4" && bytes->bytes.size() == 4) return number_at<std::int32_t>(bytes->bytes, 0);
  return std::nullopt;
}

std::string class_of(const PickleNode& node) {
  const auto* object = node.get_if<PickleObject>();
  const auto* type = object == nullptr || object->callable == nullptr
                         ? nullptr
                         : object->callable->get_if<PickleGlobal>();
  if (type != nullptr && type->name == "_reconstructor") {
    const auto* args = tuple_of(object->args);
    type = args == nullptr || args->empty() ? nullptr : (*args)[0]->get_if<PickleGlobal>();
  }
  return type == nullptr ? std::string() : type->module + "." + type->name;
}

}  // namespace compat
