#include "btm/branch/expert_cluster.h"

#include <set>

#include "compat/base/text.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/forest.h"
#include "compat/checkpoint/shard_name.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::optional<ClusterOrigin> cluster_of_training(const fs::path& path) {
  const compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  const fs::path data = checkpoint.config().get_string("task", "data", "");
  const std::vector<std::string> domains = trained_domains(checkpoint.config());
  std::size_t place = 0;
  if (domains.size() > 1) {
    const auto shard = compat::shard_name(path);
    place = shard ? shard->rank : domains.size();
  }
  if (data.empty() || (!domains.empty() && place >= domains.size())) return std::nullopt;
  std::optional<ClusterOrigin> origin =
      cluster_of_data(domains.empty() ? data : data / domains[place]);
  if (origin) origin->model_sha256.clear();  // a later split by another model may lie there now
  return origin;
}

}  // namespace

std::vector<std::string> trained_domains(const compat::Config& config) {
  const std::vector<std::string> given =
      compat::split_at(config.get_string("task", "train_domains", ""), ',');
  const std::set<std::string> domains(given.begin(), given.end());
  return {domains.begin(), domains.end()};
}

std::optional<ClusterOrigin> cluster_of_expert(const fs::path& checkpoint) {
  if (const auto entry = compat::manifest_entry(checkpoint)) {
    if (entry->cluster) return entry->cluster;
    if (const auto cluster = cluster_of_name(entry->domain)) return cluster;
  }
  if (const auto cluster = cluster_of_training(checkpoint)) return cluster;
  if (compat::shard_name(checkpoint)) return std::nullopt;
  return cluster_of_name(checkpoint.parent_path().filename().string());
}

}  // namespace btm
