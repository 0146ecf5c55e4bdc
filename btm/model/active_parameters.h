// The parameters that one token uses.
#pragma once

#include <cstdint>

#include "btm/model/transformer_lm.h"

namespace btm {

/// All parameters but the feed-forward blocks of the experts that a token does not go to. A dense
/// model uses all of them.
std::int64_t active_parameters(const TransformerLM& model);

}  // namespace btm
