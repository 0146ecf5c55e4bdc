// The release's ensemble_eval_lm.py: the loss of a mixture of experts over a data set, and how its
// posterior moves. The formulas: btm/mixing/posterior.h
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/data/batches.h"
#include "btm/ensemble/cluster_prior.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/mixing/ensemble_type.h"

namespace btm {

class Communicator;

struct EnsembleEvalOptions {
  std::string path;                    ///< The experts, joined by ':'.
  std::string model_overrides = "{}";  ///< Python literal
  EvalDataOptions data;                ///< `gen_subset`: --target-eval
  MachineOptions machine;
  EnsembleType ensemble_type = EnsembleType::kUniformPrior;
  std::string precomputed_prior;           ///< N numbers joined by commas
  std::int64_t eval_topk = 0;              ///< Keep so many of the prior's largest; 0: all
  std::optional<PosteriorRule> posterior;  ///< Nothing: default_rule().
  /// Experts of prior 0 are not part of the ensemble, and not run. The release runs them, and they
  /// count at a block's start.
  bool sparse = false;
  ClusterPriorOptions cluster;
  bool skip_diverged =
      false;  ///< Leave out experts whose scores are NaN or infinite, in place of an error.
  std::string score_cache;  ///< A folder where scores are kept between runs; "": none
  std::int64_t score_cache_mib = 1024;
};

struct EnsembleLine {
  double ppl = 0;                                    ///< Of all targets so far.
  std::vector<double> posterior, exp_avg_posterior;  ///< [N]
};

struct EnsembleReport {
  EvalLmReport eval;
  std::vector<std::string> experts;   ///< [N] short names, one each.
  std::vector<std::string> left_out;  ///< Those of them that diverged.
  std::vector<EnsembleLine> lines;    ///< One for each batch.
  std::int64_t experts_stored = 0;    ///< Experts whose scores were found in the score cache.
  std::int64_t blocks_run = 0;        ///< Blocks that went through a model, once for each expert.
};

struct EnsembleProgress {
  std::int64_t done = 0, of = 0;         ///< Batches, once for each expert that this rank runs.
  std::int64_t expert = 0, experts = 0;  ///< This rank's, counted from 1.
  double perplexity = 0;                 ///< The expert's own so far.
};

struct EnsembleObserver {
  EvalLmObserver eval;  ///< `progress` is not called.
  /// A batch has been mixed: [B * T] log-probabilities, 0 where nothing is scored.
  std::function<void(const Batch&, std::span<const float> log_probs)> mixed =
      [](const Batch&, std::span<const float>) {};
  std::function<void(const EnsembleProgress&)> progress = [](const EnsembleProgress&) {};
};

/// Samples in a batch, a step of the updating prior, by default: the release's.
inline constexpr std::int64_t kEnsembleBatchSize = 2;

/// Experts are dense checkpoints or DeMIX ranks. They run one after another: only one of them is in
/// memory, and of the others four bytes for each target. With several ranks each runs its share of
/// them (collective; every rank returns the same report). Errors as eval_lm's.
EnsembleReport ensemble_eval(const EnsembleEvalOptions& options, const EnsembleObserver& observer,
                             Communicator& ranks);

}  // namespace btm
