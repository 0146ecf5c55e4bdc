// A configuration of mergekit as options of a merge.
#pragma once

#include <string>
#include <vector>

#include "btm/merge/merge_config.h"
#include "btm/merge/merge_options.h"

namespace btm {

/// All options but the output, the seed and the threads. FormatError at `file`, the
/// configuration's, for models and a base model that the method does not take. The settings of a
/// tensor throw it for a parameter that the tensor lacks, and for weights that sum to 0.
MergeOptions options_from(const MergeConfig& config, const std::string& file);

/// A line for each filter that is in the name of no tensor. Opens the first model.
std::vector<std::string> unused_filters(const MergeConfig& config, const MergeOptions& options);

}  // namespace btm
