// Which cluster an expert was trained for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "btm/cluster/cluster_record.h"
#include "compat/fairseq/config.h"

namespace btm {

/// The domains that a model was trained on (cfg.task.train_domains), in the order of their ranks:
/// by name.
std::vector<std::string> trained_domains(const compat::Config& config);

/// The cluster of the expert in `checkpoint`. It comes from the manifest of its forest, else from
/// its data-bin or its domain (a DeMIX rank's own), else from the name of its folder. Nothing when
/// none of them tells. Errors as of open_forest and Checkpoint::open.
std::optional<ClusterOrigin> cluster_of_expert(const std::filesystem::path& checkpoint);

}  // namespace btm
