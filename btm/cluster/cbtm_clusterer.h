// Reads clusterers of c-BTM's train_clusterer.py. The layout: cbtm_clusterer.md
#pragma once

#include <filesystem>
#include <memory>

#include "btm/cluster/cluster_model.h"
#include "compat/io/mapped_file.h"

namespace btm {

/// The folder of tfidf.pkl and kmeans.pkl that `path` is, or whose tfidf.pkl it is. Empty for
/// anything else.
std::filesystem::path cbtm_clusterer_at(const std::filesystem::path& path);

/// FormatError for a damaged file, UnsupportedError for other settings than train_clusterer.py's.
ClusterParts read_cbtm_clusterer(const std::shared_ptr<const compat::MappedFile>& tfidf,
                                 const std::shared_ptr<const compat::MappedFile>& kmeans);

}  // namespace btm
