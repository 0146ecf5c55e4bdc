// A corpus divided by clusters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "btm/cluster/corpus.h"

namespace btm {

/// Writes document i into folder c<clusters[i]> of `output`. Text keeps its file name. A data-bin
/// becomes domains for the multi-domain task: dict.txt in every folder; `train` keeps its name,
/// valid... and test... become valid_cN and test_cN. Returns the number of documents of each
/// cluster. The files appear at the end, with a record for each cluster (cluster_record.h). Files
/// in `output` from splits by other models than `model_sha256` are removed. IoError, before
/// anything is written, for a folder of a further cluster with files that no record names.
std::vector<std::uint64_t> split_corpus(const Corpus& documents, const std::filesystem::path& input,
                                        std::span<const std::uint32_t> clusters, std::size_t count,
                                        const std::string& model_sha256,
                                        const std::filesystem::path& output);

}  // namespace btm
