// Converts dense expert language models to DeMIX shards.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"

namespace converters {

/// Writes PREFIX-rank-N.pt with fc1 and fc2 of expert N, and PREFIX-shared.pt with the rest of
/// `shared` (empty: of the first expert, whose rest all others must hold too). Optimizer state is
/// left out. IoError for files that are there already, unless `overwrite`. FormatError for models
/// that differ in names, shapes or, without `shared`, in what is shared.
void write_demix_shards(const std::vector<std::filesystem::path>& experts,
                        const std::filesystem::path& shared, const std::filesystem::path& prefix,
                        bool overwrite);

}  // namespace converters
