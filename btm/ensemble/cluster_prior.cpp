#include "btm/ensemble/cluster_prior.h"

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// How the tokens become what the model's terms are made of.
std::string post_process_of(const ClusterPriorOptions& options, TermRule rule) {
  if (!options.post_process.empty()) return options.post_process;
  if (!is_of_words(rule)) return "none";
  return options.encoder_json.empty() ? "auto" : options.encoder_json;
}

}  // namespace

std::vector<std::size_t> experts_of_clusters(std::span<const std::optional<ClusterOrigin>> origins,
                                             std::span<const std::string> experts,
                                             const std::string& model_sha256) {
  const std::size_t count = experts.size();
  const auto shown = [&](std::size_t e) { return "expert " + compat::printable(experts[e], 4096); };
  std::vector<std::size_t> expert_of(count, count);
  for (std::size_t e = 0; e < origins.size(); ++e) {
    if (!origins[e]) continue;
    const auto& [cluster, model] = *origins[e];
    const std::string trained = compat::concat(shown(e), " was trained for cluster ", cluster);
    if (!model.empty() && model != model_sha256)
      throw compat::UsageError(trained + " of another cluster model than --cluster-model");
    if (cluster >= count)
      throw compat::UsageError(compat::concat(trained, ", but --cluster-model has ", count));
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
      tokens_(dictionary, post_process_of(options, model_.rule())) {
  const std::string name = compat::printable(options.model, 4096);
  if (model_.clusters() != experts.size())
    throw compat::UsageError(compat::concat(name, " has ", model_.clusters(), " clusters for ",
                                            experts.size(), " experts"));
  expert_of_ = experts_of_clusters(options.origins, experts, model_.sha256());
  const bool words = is_of_words(model_.rule());
  if (words != tokens_.joins())
    throw compat::UsageError(
        name + (words
                    ? " was made of words: --cluster-post-process has to say how pieces are joined"
                    : " was made of pieces: --cluster-post-process none keeps them apart"));
}

/// Counts the terms in the complete words of a text.
class ClusterPrior::TermReader final : public TextPrior::Reader {
 public:
  explicit TermReader(const ClusterPrior& prior) : prior_(prior), context_(prior.model_) {}

  std::unique_ptr<Reader> clone() const override { return std::make_unique<TermReader>(*this); }

  void read(std::int64_t token) override {
    held_.push_back(token);
    if (held_.size() <= prior_.options_.lag) return;
    prior_.tokens_.append(held_.front(), pending_);
    held_.erase(held_.begin());
    const std::size_t end = pending_.rfind(' ');
    if (end == std::string::npos) return;
    add(std::string_view(pending_).substr(0, end), context_);
    pending_.erase(0, end + 1);
  }

  std::vector<double> log_prior() const override {
    const ClusterPriorOptions& options = prior_.options_;
    ClusterModel::Context context = context_;
    if (options.as_code) add(pending_, context);
    const std::vector<double> weights =
        log_of(cluster_weights(context.distances(), options.temperature, prior_.top_k_,
                               options.as_code ? WeightRule::kCode : WeightRule::kPaper));
    std::vector<double> logs(weights.size());
    for (std::size_t j = 0; j < weights.size(); ++j) logs[prior_.expert_of_[j]] = weights[j];
    return logs;
  }

 private:
  void add(std::string_view text, ClusterModel::Context& context) const {
    for_each_term(text, prior_.model_.rule(), [&](std::string_view term) { context.add(term); });
  }

  const ClusterPrior& prior_;
  ClusterModel::Context context_;
  std::vector<std::int64_t> held_;  ///< Tokens that are not read yet, at most as many as the lag.
  std::string pending_;             ///< The end of the text, whose last word may go on.
};

std::unique_ptr<TextPrior::Reader> ClusterPrior::open() const {
  return std::make_unique<TermReader>(*this);
}

}  // namespace btm
