// The file cluster.json, which btm cluster assign writes into each cluster's folder. It says to
// which cluster documents belong.
//
// {"btm_cluster": 1, "cluster": j, "model_sha256": the cluster model's checksum, "files": [names
// that were written here]}
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compat/checkpoint/forest.h"

namespace btm {

inline constexpr const char* kClusterRecord = "cluster.json";

struct ClusterRecord {
  std::size_t cluster = 0;
  std::string model_sha256;  ///< Of the cluster model (ClusterModel::sha256).
  std::vector<std::string> files;
};

/// Nothing for a folder without a record. FormatError for a damaged one.
std::optional<ClusterRecord> read_cluster_record(const std::filesystem::path& folder);
void write_cluster_record(const std::filesystem::path& folder,
                          const ClusterRecord& record);  ///< Atomic.

using compat::ClusterOrigin;

/// The number in "c7", as btm cluster assign names folders. Nothing for other names.
std::optional<ClusterOrigin> cluster_of_name(std::string_view name);

/// The cluster of a folder of documents, from its record or else its name. Errors as of
/// read_cluster_record.
std::optional<ClusterOrigin> cluster_of_data(const std::filesystem::path& folder);

}  // namespace btm
