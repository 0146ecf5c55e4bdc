#include "btm/ensemble/cluster_prior.h"

#include "btm/ensemble/mixture.h"
#include "compat/error.h"

namespace btm {

ClusterPrior::ClusterPrior(const ClusterPriorOptions& options, std::int64_t top_k, const compat::Dictionary& dictionary,
                           std::size_t experts)
    : options_(options), top_k_(top_k), model_(ClusterModel::load(options.model)), tokens_(dictionary, options.post_process) {
  const std::string name = compat::printable(options.model, 4096);
  if (model_.clusters() != experts)
    throw compat::UsageError(name + " has " + std::to_string(model_.clusters()) + " clusters for " + std::to_string(experts) + " experts");
  const bool words = model_.rule() == TermRule::kWords;
  if (words == options.post_process.empty())
    throw compat::UsageError(name + (words ? " was made of words: --cluster-post-process has to say how pieces are joined"
                                           : " was made of pieces, without --cluster-post-process"));
}

std::vector<double> ClusterPrior::log_prior(const Batch& batch, std::int64_t row, std::size_t length) const {
  const auto tokens = std::span(batch.tokens).subspan(static_cast<std::size_t>(row * batch.columns), static_cast<std::size_t>(batch.columns));
  const auto first = static_cast<std::size_t>(batch.first_scored[static_cast<std::size_t>(row)]);
  std::vector<double> logs;
  ClusterModel::Context context(model_);
  std::string pending;  // what may be part of a word that goes on
  for (std::size_t t = 0; t < first + length; ++t) {
    tokens_.append(tokens[t], pending);
    if (const std::size_t end = pending.rfind(' '); end != std::string::npos) {
      for_each_term(std::string_view(pending).substr(0, end), model_.rule(), [&](std::string_view term) { context.add(term); });
      pending.erase(0, end + 1);
    }
    if (t < first) continue;
    const std::vector<double> weights = log_of(cluster_weights(context.distances(), options_.temperature, top_k_));
    logs.insert(logs.end(), weights.begin(), weights.end());
  }
  return logs;
}

}  // namespace btm
