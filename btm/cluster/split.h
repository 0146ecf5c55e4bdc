// A corpus divided by clusters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "btm/cluster/documents.h"

namespace btm {

/// Writes document i into folder c<clusters[i]> of `output`. Text keeps its file name. A data-bin becomes domains as the
/// multi-domain task reads them: dict.txt in every folder; `train` keeps its name, valid... and test... become valid_cN and
/// test_cN. Returns the documents of each cluster. The files appear at the end.
std::vector<std::uint64_t> split_corpus(const Documents& documents, const std::filesystem::path& input,
                                        std::span<const std::uint32_t> clusters, std::size_t count, const std::filesystem::path& output);

}  // namespace btm
