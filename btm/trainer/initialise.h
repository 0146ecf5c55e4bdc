// Initial weights of a transformer_lm.
#pragma once

#include "btm/model/transformer_lm.h"

namespace btm {

/// Draws every parameter from fairseq's distribution with torch's CPU generator and `seed`. The
/// numbers differ from fairseq's, which also draws values that it then overwrites.
void initialise(TransformerLM& model, std::int64_t seed);

}  // namespace btm
