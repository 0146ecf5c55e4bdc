// Pickle protocol 2 written as CPython's pickler writes it. Opcodes and memo rules:
// compat/torch/pickle.md
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "compat/torch/pickle_value.h"

namespace compat {

struct PickleStorageNames {
  bool legacy = false;  ///< Persistent ids with the view field of torch's legacy layout.
  /// The key a storage is filed under; called once per tensor or storage. Without it tensors are
  /// refused.
  std::function<std::string(const std::shared_ptr<const Storage>&)> key_of;
};

/// `root` as a pickle of protocol 2. Nodes referred to twice are written once; cycles through
/// lists, dicts and objects are kept. UnsupportedError for nesting deeper than any Python would
/// read, and for a tensor without `storages.key_of`.
std::string pickled(const PickleNode& root, const PickleStorageNames& storages = {});

}  // namespace compat
