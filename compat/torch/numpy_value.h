// numpy's arrays and scalars in a pickle, read from their inert nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compat/base/error.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// The numbers of an array of float32, float64, int32 or int64, in row-major order.
struct NumpyArray {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// `node` as such an array. FormatError about `where` when it is something else, when its bytes are
/// not as many as its shape says, and when a value is not finite as a float32.
NumpyArray numpy_array(const PickleNode& node, const Location& where);

/// An int, or numpy's scalar of int32 or int64. Nothing for anything else.
std::optional<std::int64_t> numpy_integer(const PickleNode& node);

/// "module.Class" of an object, also of one that copyreg makes. Empty for anything else.
std::string class_of(const PickleNode& node);

}  // namespace compat
