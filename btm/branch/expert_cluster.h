// Which cluster an expert was trained for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "btm/cluster/cluster_record.h"
#include "compat/fairseq/config.h"

namespace btm {

/// The domains that a model was trained on (cfg.task.train_domains) in the order in which ranks are
/// given to them: by name.
std::vector<std::string> trained_domains(const compat::Config& config);

/// The cluster of the expert in `checkpoint`: what the manifest of its forest says, else the
/// data-bin that it was trained on or its domain (of a DeMIX rank: its own), else the name of its
/// folder. Nothing when none of them tells. Errors as open_forest's and Checkpoint::open's.
std::optional<ClusterOrigin> cluster_of_expert(const std::filesystem::path& checkpoint);

}  // namespace btm
