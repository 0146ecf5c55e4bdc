#include "btm/ensemble/cluster_prior.h"

#include "btm/ensemble/mixture.h"
#include "compat/base/error.h"

namespace btm {

std::vector<std::size_t> experts_of_clusters(std::span<const std::optional<ClusterOrigin>> origins,
                                             std::span<const std::string> experts,
                                             const std::string& model_sha256) {
  const std::size_t count = experts.size();
  const auto shown = [&](std::size_t e) { return "expert " + compat::printable(experts[e], 4096); };
  std::vector<std::size_t> expert_of(count, count);
  for (std::size_t e = 0; e < origins.size(); ++e) {
    if (!origins[e]) continue;
    const auto& [cluster, model] = *origins[e];
    const std::string trained = shown(e) + " was trained for cluster " + std::to_string(cluster);
    if (!model.empty() && model != model_sha256)
      throw compat::UsageError(trained + " of another cluster model than --cluster-model");
    if (cluster >= count)
      throw compat::UsageError(trained + ", but --cluster-model has " + std::to_string(count));
    if (expert_of[cluster] != count)
      throw compat::UsageError(trained + ", as " + shown(expert_of[cluster]) + " was");
    expert_of[cluster] = e;
  }
  for (std::size_t e = 0; e < count; ++e) {
    if (e < origins.size() && origins[e]) continue;
    if (expert_of[e] != count)
      throw compat::UsageError(shown(e) +
                               " does not tell its cluster, and the others are not in the order of "
                               "clusters; name the experts in that order");
    expert_of[e] = e;
  }
  return expert_of;
}

ClusterPrior::ClusterPrior(const ClusterPriorOptions& options, std::int64_t top_k,
                           const compat::Dictionary& dictionary,
                           std::span<const std::string> experts)
    : options_(options),
      top_k_(top_k),
      model_(ClusterModel::load(options.model)),
      tokens_(dictionary, options.post_process) {
  const std::string name = compat::printable(options.model, 4096);
  if (model_.clusters() != experts.size())
    throw compat::UsageError(name + " has " + std::to_string(model_.clusters()) + " clusters for " +
                             std::to_string(experts.size()) + " experts");
  expert_of_ = experts_of_clusters(options.origins, experts, model_.sha256());
  const bool words = model_.rule() == TermRule::kWords;
  if (words == options.post_process.empty())
    throw compat::UsageError(
        name + (words
                    ? " was made of words: --cluster-post-process has to say how pieces are joined"
                    : " was made of pieces, without --cluster-post-process"));
}

std::vector<double> ClusterPrior::log_prior(const Batch& batch, std::int64_t row,
                                            std::span<const std::int64_t> columns) const {
  const auto tokens = std::span(batch.tokens)
                          .subspan(static_cast<std::size_t>(row * batch.columns),
                                   static_cast<std::size_t>(batch.columns));
  std::vector<double> logs;
  ClusterModel::Context context(model_);
  std::string pending;   // what may be part of a word that goes on
  std::size_t next = 0;  // of columns
  for (std::int64_t t = 0; next < columns.size(); ++t) {
    tokens_.append(tokens[static_cast<std::size_t>(t)], pending);
    if (const std::size_t end = pending.rfind(' '); end != std::string::npos) {
      for_each_term(std::string_view(pending).substr(0, end), model_.rule(),
                    [&](std::string_view term) { context.add(term); });
      pending.erase(0, end + 1);
    }
    if (t != columns[next]) continue;
    ++next;
    const std::vector<double> weights =
        log_of(cluster_weights(context.distances(), options_.temperature, top_k_));
    const std::size_t here = logs.size();
    logs.resize(here + weights.size());
    for (std::size_t j = 0; j < weights.size(); ++j) logs[here + expert_of_[j]] = weights[j];
  }
  return logs;
}

}  // namespace btm
