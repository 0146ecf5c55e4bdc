// The steps from text to a data-bin: tokeniser, clusters of a corpus, dictionary, domains.
#pragma once

#include <vector>

#include "btm/run/step_names.h"

namespace btm {

std::vector<Step> preprocess_steps(const StepNames& names);

}  // namespace btm
