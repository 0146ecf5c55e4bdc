// Initial weights of a transformer_lm.
#pragma once

#include "btm/model/transformer_lm.h"

namespace btm {

/// Draws every parameter from the distribution fairseq draws it from, by torch's CPU generator
/// seeded with `seed`. The numbers differ from fairseq's for the same seed, which also spends draws
/// on values it then overwrites.
void initialise(TransformerLM& model, std::int64_t seed);

}  // namespace btm
