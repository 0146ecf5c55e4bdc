// Writes pickle protocol 2, byte for byte as CPython's pickler. Opcodes and memo rules:
// compat/torch/pickle.md
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "compat/torch/pickle_value.h"

namespace compat {

struct PickleStorageNames {
  bool legacy = false;  ///< Persistent ids have the view field of torch's legacy layout.
  /// Gives the key of a storage. Called once per tensor or storage. When it is unset, tensors are
  /// refused.
  std::function<std::string(const std::shared_ptr<const Storage>&)> key_of;
};

/// `root` as a pickle of protocol 2. A node that several nodes refer to is written once. Cycles
/// through lists, dicts and objects are kept. UnsupportedError for deeper nesting than Python can
/// read, and for a tensor without `storages.key_of`.
std::string pickled(const PickleNode& root, const PickleStorageNames& storages = {});

}  // namespace compat
