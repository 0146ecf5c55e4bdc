// Experts of a forest that change without training.
#pragma once

#include <filesystem>
#include <string>

#include "btm/cli/expert_add.h"

namespace btm {

/// UsageError for an expert of the forest that btm expert add did not make.
void check_not_foreign(const compat::Forest& forest, const std::string& name);

/// Brings back an expert that was removed, or enters a folder FOREST/NAME with a checkpoint that
/// the manifest does not name. Prints its line and returns 0. UsageError where there is neither.
/// FormatError for another dictionary than the forest's.
int take_up_expert(const ExpertAddOptions& options);

/// Renames the expert, its folder, and its name among the parents of others. UsageError for a name
/// that is not there or that is taken, for an expert that shares its folder, and for one that a
/// plan of btm run makes.
void rename_expert(const std::filesystem::path& folder, const std::string& old_name,
                   const std::string& new_name);

}  // namespace btm
