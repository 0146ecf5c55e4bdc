// Experts of a forest that change without training.
#pragma once

#include <filesystem>
#include <string>

#include "btm/cli/expert_add.h"

namespace btm {

/// UsageError for an expert of the forest that btm expert add did not make.
void check_not_foreign(const compat::Forest& forest, const std::string& name);

/// For an expert whose addition goes on. A path that the manifest holds is that of now where both
/// are equal, or where it is gone and ends as that of now does from the forest, or from the folder
/// around it, on: the forest has moved. UsageError for other data, and for another start. `kind` is
/// ForestExpert::start, and `model` that of an "expert" or "checkpoint", or "".
void check_same_data(const compat::ForestExpert& known, const std::string& data,
                     const std::filesystem::path& forest);
void check_same_start(const compat::ForestExpert& known, const std::string& kind,
                      const std::string& model, const std::filesystem::path& forest);

/// Gives the expert, if it is in the forest, the paths of now after these checks. Whether one is
/// new.
bool take_paths_of_now(compat::Forest& forest, const std::string& name, const std::string& data,
                       const std::string& model);

/// Brings back an expert that was removed, or enters a folder FOREST/NAME with a checkpoint that
/// the manifest does not name. Prints its line and returns 0. UsageError where there is neither.
/// FormatError for another dictionary than the forest's.
int take_up_expert(const ExpertAddOptions& options);

/// Renames the expert, its folder, and its name among the parents of others, and what the manifest
/// says of files in that folder. UsageError for a name that is not there or that is taken, for an
/// expert that shares its folder, and for one that a plan of btm run makes.
void rename_expert(const std::filesystem::path& folder, const std::string& old_name,
                   const std::string& new_name);

}  // namespace btm
