// Pickle protocols 0 to 5 read as inert data. Opcodes, limits, quirks: compat/torch/pickle.md
#pragma once

#include <functional>

#include "compat/base/byte_reader.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// Gives the node for a persistent id (torch: a storage), or null to keep it as PicklePersistentId.
/// `where` is for messages.
using PersistentLoader =
    std::function<PickleNode*(PickleArena& arena, const PickleNode& id, const Location& where)>;

/// Reads one pickle from `in`, up to and including STOP. Nothing is called: a class is a name, an
/// object the name of its callable with arguments and state. torch._utils._rebuild_tensor_v2 and
/// _rebuild_parameter over a storage that `load` gave become PickleTensor, collections.OrderedDict
/// a PickleDict. FormatError on anything a pickle may not hold.
PickleTree unpickle(ByteReader& in, const PersistentLoader& load = {});

}  // namespace compat
