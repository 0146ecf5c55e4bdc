// The release's ensemble_eval_lm.py: the loss of a mixture of experts over a data set, and its
// posterior after each batch. The formulas: btm/mixing/posterior.h
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/data/batches.h"
#include "btm/ensemble/mixture.h"
#include "btm/evaluator/eval_lm.h"

namespace btm {

class Communicator;

struct EnsembleEvalOptions : MixtureOptions {
  std::string path;                    ///< The experts, joined by ':'.
  std::string model_overrides = "{}";  ///< Python literal
  EvalDataOptions data;                ///< `gen_subset`: --target-eval
  MachineOptions machine;
  /// Experts whose scores are NaN or infinite are left out. Otherwise they are an error.
  bool skip_diverged = false;
  std::string score_cache;  ///< A folder where scores are kept between runs; "": none
  std::int64_t score_cache_mib = 1024;
};

struct EnsembleLine {
  double ppl = 0;                                    ///< Of all targets so far.
  std::vector<double> posterior, exp_avg_posterior;  ///< [N]
};

struct EnsembleReport {
  EvalLmReport eval;
  std::vector<std::string> experts;   ///< [N] short and distinct names.
  std::vector<std::string> left_out;  ///< The experts that diverged.
  std::vector<EnsembleLine> lines;    ///< One for each batch.
  std::int64_t experts_stored = 0;    ///< Experts whose scores the score cache had.
  std::int64_t blocks_run = 0;        ///< Blocks that a model scored, counted for each expert.
};

struct EnsembleProgress {
  std::int64_t done = 0, of = 0;         ///< Batches, counted for each expert of this rank.
  std::int64_t expert = 0, experts = 0;  ///< Experts of this rank, counted from 1.
  double perplexity = 0;                 ///< Of the expert alone, so far.
};

struct EnsembleObserver {
  EvalLmObserver eval;  ///< `progress` is not called.
  /// Called with each mixed batch: [B * T] log-probabilities, 0 where nothing is scored.
  std::function<void(const Batch&, std::span<const float> log_probs)> mixed =
      [](const Batch&, std::span<const float>) {};
  /// Called with each batch and the experts' scores [N][B * T], empty for experts left out.
  std::function<void(const Batch&, std::span<const std::span<const float>> scores)> scored =
      [](const Batch&, std::span<const std::span<const float>>) {};
  std::function<void(const EnsembleProgress&)> progress = [](const EnsembleProgress&) {};
};

/// The release's default for the samples in a batch. A batch is a step of the updating prior.
inline constexpr std::int64_t kEnsembleBatchSize = 2;

/// Experts run one after another. Only one of them is in memory; each of the others takes four
/// bytes for each target. With several ranks each runs its share of the experts. Collective: every
/// rank returns the same report. Errors of eval_lm().
EnsembleReport ensemble_eval(const EnsembleEvalOptions& options, const EnsembleObserver& observer,
                             Communicator& ranks);

}  // namespace btm
