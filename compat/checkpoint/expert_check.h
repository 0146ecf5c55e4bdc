// Whether a forest is what its manifest says: manifest, files, dictionary, sizes.
#pragma once

#include <string>
#include <vector>

#include "compat/checkpoint/forest.h"

namespace compat {

struct ExpertFinding {
  std::string expert;   ///< Its name, or a subfolder's that the manifest does not name.
  std::string problem;  ///< One line, printable; "" for an expert without one.
};

/// Every expert of the manifest, and every subfolder with a checkpoint that it does not name. Opens
/// the checkpoints and reads no weights: the sizes are those of the tensors, by their names.
std::vector<ExpertFinding> check_forest(const Forest& forest);

/// What became of an expert: "complete", "to be continued", "missing" (the checkpoint that the
/// manifest names is not there).
std::string state_of(const Forest& forest, const ForestExpert& expert);

}  // namespace compat
