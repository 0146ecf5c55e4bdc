// The result of ensemble-eval as lines of JSON, for --results-path.
#pragma once

#include <string>

#include "btm/ensemble/ensemble_eval.h"

namespace btm {

/// A line for each batch: the release's keys, then the names of the experts and the
/// precision. A number that is not
/// finite is null.
std::string ensemble_lines(const EnsembleReport& report);

}  // namespace btm
