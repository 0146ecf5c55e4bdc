// Reads pickle protocols 0 to 5 as plain data. Opcodes, limits and special cases:
// compat/torch/pickle.md
#pragma once

#include <functional>

#include "compat/base/byte_reader.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// Returns the node for a persistent id (in torch files a storage), or null to keep it as
/// PicklePersistentId. `where` is for messages.
using PersistentLoader =
    std::function<PickleNode*(PickleArena& arena, const PickleNode& id, const Location& where)>;

/// Reads one pickle from `in`, up to and including STOP. Nothing is called: a class is a name, an
/// object is the name of its callable with arguments and state. torch._utils._rebuild_tensor_v2 and
/// _rebuild_parameter become PickleTensor when `load` gave their storage. collections.OrderedDict
/// becomes PickleDict. FormatError for a malformed pickle.
PickleTree unpickle(ByteReader& in, const PersistentLoader& load = {});

}  // namespace compat
