// Configurations as JSON text, and as what a checkpoint pickles.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace compat {

/// The same tree.
nlohmann::ordered_json config_as_json(const ConfigValue& value);

/// One line of JSON; infinities and NaN become null.
std::string config_to_json(const ConfigValue& value);

/// FormatError for text that is no JSON; `file` is for the message.
ConfigValue config_from_json(std::string_view text, const std::string& file);

/// An argparse.Namespace of a dict's entries: what fairseq pickles as `args`.
PickleNode* namespace_to_pickle(PickleArena& arena, const ConfigValue& flat);

/// Plain dicts, lists, strings and numbers that pickle as such.
PickleNode* config_to_pickle(PickleArena& arena, const ConfigValue& value);

}  // namespace compat
