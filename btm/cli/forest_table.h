// Prints the experts of a forest, for `btm forest` and `btm expert list`.
#pragma once

#include <iosfwd>

#include "compat/checkpoint/forest.h"

namespace btm {

/// A line for each expert; counts of updates come from the checkpoints. Errors as updates_of's.
void print_forest(const compat::Forest& forest, std::ostream& out);
void print_forest_json(const compat::Forest& forest, std::ostream& out);

}  // namespace btm
