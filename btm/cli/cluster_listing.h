// The clusters of a model for a reader: as lines, as JSON, as a page.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "btm/cluster/cluster_model.h"
#include "btm/report/html_page.h"

namespace btm {

struct ClusterListing {
  std::size_t terms = 10, samples = 3;  ///< Shown of each cluster, at most.
};

void print_clusters(const ClusterModel& model, const std::vector<std::string>& names,
                    const ClusterListing& listing);
void print_clusters_json(const ClusterModel& model, const std::vector<std::string>& names,
                         const ClusterListing& listing);
/// The clusters in the plane, and a table of them.
HtmlPage cluster_page(const ClusterModel& model, const std::vector<std::string>& names,
                      const ClusterListing& listing);

}  // namespace btm
