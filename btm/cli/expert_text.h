// `btm expert add` from text: the new domain's data-bin.
#pragma once

#include "btm/cli/expert_add.h"

namespace btm {

/// Runs `btm-convert preprocess` on options.texts, with the dictionary and the tokenizer of the
/// forest's experts. The data-bin lies in the run's folder data-bin for the forest of a run, and
/// else beside the expert; options.data gets its folder. What an earlier call finished from the
/// same text is kept. Returns the status of btm-convert. UsageError where the forest has no expert,
/// or where nothing tells its tokenizer.
int prepare_text(ExpertAddOptions& options);

}  // namespace btm
