// Converts configurations to and from JSON text, and to the nodes of a pickle.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// The value as a JSON tree.
nlohmann::ordered_json config_as_json(const ConfigValue& value);

/// The value as one line of JSON. Infinities and NaN become null.
std::string config_to_json(const ConfigValue& value);

/// Parses JSON text. FormatError for other text, with `file` in the message.
ConfigValue config_from_json(std::string_view text, const std::string& file);

/// An argparse.Namespace with the entries of a dict. fairseq pickles it as `args`.
PickleNode* namespace_to_pickle(PickleArena& arena, const ConfigValue& flat);

/// The value as pickle nodes: plain dicts, lists, strings and numbers.
PickleNode* config_to_pickle(PickleArena& arena, const ConfigValue& value);

}  // namespace compat
