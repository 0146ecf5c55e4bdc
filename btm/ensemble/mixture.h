// The mixture that a command's flags ask for. E experts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/ensemble/cluster_prior.h"
#include "btm/mixing/ensemble_type.h"
#include "btm/mixing/posterior.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

struct MixtureOptions {
  EnsembleType ensemble_type = EnsembleType::kUniformPrior;
  std::string precomputed_prior;  ///< E numbers joined by commas, or a file of btm weigh.
  std::int64_t eval_topk = 0;     ///< Keeps the largest of the prior, or of c-BTM's weights; 0: all
  std::optional<PosteriorRule> posterior;  ///< Nothing: default_rule().
  Combination combination = Combination::kMean;
  /// Experts of prior 0 are not part of the ensemble and do not run. In the release they run, and
  /// count at a block's start.
  bool sparse = false;
  ClusterPriorOptions cluster;
};

/// simple_average and c-BTM's types have one rule; other types have that of --posterior.
PosteriorRule rule_of(const MixtureOptions& options);

/// [E] what --precomputed-prior says: see parse_prior(); or a JSON file with the names `experts`
/// and their `posterior`, in any order. UsageError for a file that names other experts.
std::vector<double> read_prior(const std::string& text,
                               std::span<const compat::NamedModel> experts);

/// [E] the prior that the flags give. Empty when they give none. UsageError where they must.
std::vector<double> given_prior(const MixtureOptions& options,
                                std::span<const compat::NamedModel> experts);

/// The mixture of the experts. Keeps a reference to `dictionary` with cluster_prior. UsageError for
/// options that contradict each other.
Posterior make_posterior(const MixtureOptions& options, std::span<const compat::NamedModel> experts,
                         const compat::Dictionary& dictionary);

}  // namespace btm
