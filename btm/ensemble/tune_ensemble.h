// ensemble-eval --tune: the fixed weights that suit one set of data best, measured on another.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "btm/ensemble/ensemble_eval.h"
#include "btm/ensemble/tune_weights.h"

namespace btm {

/// --tune: every second batch of the split that is evaluated. The others are held out.
inline constexpr const char* kTuneHalf = "half";

/// Losses of fixed weights on one set of tokens, in nats per token.
struct WeightLosses {
  std::string data;  ///< The split, or which half of it.
  std::size_t tokens = 0;
  double uniform = 0, tuned = 0;
  std::vector<double> experts;  ///< [N] of each expert alone.
};

struct TunedEnsemble {
  std::vector<std::string> experts, left_out;  ///< As in EnsembleReport.
  TuneOptions options;
  TunedWeights tuned;
  WeightLosses tuning, held_out;  ///< The search never saw the latter.
};

/// Searches on the split `tune_on` and measures on options.data.gen_subset; or on the two halves of
/// the latter. The experts' scores come from the cache, or go there. Collective. UsageError for the
/// same split twice, and for one batch in halves. Errors of ensemble_eval().
TunedEnsemble tune_ensemble(EnsembleEvalOptions options, const std::string& tune_on,
                            const TuneOptions& tune, const EnsembleObserver& observer,
                            Communicator& ranks);

}  // namespace btm
