// A corpus divided by clusters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "btm/cluster/corpus.h"

namespace btm {

/// Writes document i into folder c<clusters[i]> of `output`. Text keeps its file name, but for
/// .gz and .zst: it is written plainly. A data-bin
/// becomes domains for the multi-domain task: dict.txt in every folder; `train` keeps its name,
/// valid, valid_law and valid1 become valid_cN, valid_cN and valid1_cN, and test sets alike.
/// Returns the number of documents of each cluster. The files appear at the end, with a record for
/// each cluster (cluster_record.h). Files in `output` from splits by other models than
/// `model_sha256` are removed. IoError, before anything is written, for a folder of a further
/// cluster with files that no record names.
std::vector<std::uint64_t> split_corpus(const Corpus& documents, const std::filesystem::path& input,
                                        std::span<const std::uint32_t> clusters, std::size_t count,
                                        const std::string& model_sha256,
                                        const std::filesystem::path& output);

/// To be called before documents are assigned. IoError where split_corpus would replace a file, or
/// the split of another model, without `overwrite`. IoError also where it would put its dictionary
/// beside sets of another one.
void check_split(const Corpus& documents, const std::filesystem::path& input, std::size_t count,
                 const std::string& model_sha256, const std::filesystem::path& output,
                 bool overwrite);

}  // namespace btm
