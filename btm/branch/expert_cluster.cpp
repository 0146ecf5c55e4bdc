#include "btm/branch/expert_cluster.h"

#include <charconv>
#include <set>

#include "compat/base/text.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/forest.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// N of `checkpoint_last-rank-N.pt`; nothing for another name.
std::optional<std::size_t> rank_of(const fs::path& path) {
  constexpr std::string_view kRank = "-rank-";
  const std::string stem = path.stem().string();
  const std::size_t at = stem.rfind(kRank);
  if (at == std::string::npos) return std::nullopt;
  std::size_t rank = 0;
  const char* const end = stem.data() + stem.size();
  const auto [read, error] = std::from_chars(stem.data() + at + kRank.size(), end, rank);
  return error == std::errc{} && read == end ? std::optional(rank) : std::nullopt;
}

std::optional<ClusterOrigin> cluster_of_training(const fs::path& path) {
  const compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  const fs::path data = checkpoint.config().get_string("task", "data", "");
  const std::vector<std::string> domains = trained_domains(checkpoint.config());
  const std::size_t place = domains.size() <= 1 ? 0 : rank_of(path).value_or(domains.size());
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
  return rank_of(checkpoint) ? std::nullopt
                             : cluster_of_name(checkpoint.parent_path().filename().string());
}

}  // namespace btm
