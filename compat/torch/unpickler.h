// Reads pickle protocols 0 to 5 as plain data. Opcodes, limits and special cases:
// compat/torch/pickle.md
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "compat/base/byte_reader.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// Returns the node for a persistent id (in torch files a storage), or null to keep it as
/// PicklePersistentId. `where` is for messages.
using PersistentLoader =
    std::function<PickleNode*(PickleArena& arena, const PickleNode& id, const Location& where)>;

/// Returns the storage in the argument of torch.storage._load_from_bytes: a torch file inside a
/// pickle (storage_of_bytes in torch_file.h).
using StorageLoader =
    std::function<PickleNode*(PickleArena& arena, std::string_view bytes, const Location& where)>;

/// More values than any checkpoint has: a DictConfig of fairseq has about 10^4. The limit keeps a
/// pickle of one-byte opcodes from filling the memory.
inline constexpr std::size_t kMostPickleValues = 2'000'000;

/// Reads one pickle from `in`, up to and including STOP. Nothing is called: a class is a name, an
/// object is the name of its callable with arguments and state. torch._utils._rebuild_tensor_v2 and
/// _rebuild_parameter become PickleTensor when `load` gave their storage. collections.OrderedDict
/// becomes PickleDict. FormatError for a malformed pickle, and for one of more than `most_values`.
PickleTree unpickle(ByteReader& in, const PersistentLoader& load = {},
                    const StorageLoader& load_bytes = {},
                    std::size_t most_values = kMostPickleValues);

}  // namespace compat
