// Many models on many domains in one run: perplexities, bits per byte, ensembles of the models and
// their parameters' average, with intervals of confidence. Every model is loaded once; its scores
// are kept, so that what is there is not computed again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "btm/evaluator/eval_options.h"
#include "btm/mixing/ensemble_type.h"
#include "btm/report/evaluation_matrix.h"

namespace btm {

struct EvalMatrixOptions {
  std::string folder;          ///< Of domains, with dict.txt.
  std::string split = "test";  ///< A domain's set is SPLIT_DOMAIN, or SPLIT.
  BatchingOptions batching;
  std::string model_overrides = "{}";  ///< Python literal
  MachineOptions machine;
  std::vector<std::string> domains;  ///< Empty: all that have the split.
  std::vector<std::pair<std::string, std::string>>
      models;  ///< Name and checkpoint, in the order of the rows.
  std::vector<std::string>
      experts;  ///< Of the models, those that are mixed and averaged; empty: none.
  std::vector<EnsembleType> ensembles;  ///< A row each; not kClusterPrior.
  bool average = false;  ///< A row for the uniform average of the experts' parameters.
  PosteriorRule posterior = PosteriorRule::kLast;  ///< kLast or kFull.
  std::string prior_split = "valid";  ///< cached_prior's prior is the updating one after
                                      ///< `prior_batches` batches of it ...
  std::int64_t prior_batches =
      100;  ///< ... as the release's ensemble_eval.sh has it (its first batch is number 0).
  std::string baseline;  ///< The row that the others are compared with; empty: the first.
  std::map<std::string, std::int64_t>
      bytes;                      ///< Of a domain's text; others are counted from the dictionary.
  std::string gpt2_encoder_json;  ///< Counts the bytes of a dictionary of GPT-2's ids.
  std::int64_t resamples = 1000, block_tokens = 512, seed = 1;  ///< Of the block bootstrap.
  bool skip_diverged =
      false;          ///< Leave out models whose scores are NaN or infinite, in place of an error.
  std::string cache;  ///< Folder of the scores.
};

struct ScoredMatrix : EvalMatrix {
  /// Models on data sets that were scored, and that were there.
  std::int64_t computed = 0, reused = 0;
};

struct EvalMatrixObserver {
  std::function<void(const std::string& line)> warn = [](const std::string&) {};
  /// Batches scored, of how many that are to be.
  std::function<void(std::int64_t done, std::int64_t of, const std::string& model,
                     const std::string& domain)>
      progress = [](std::int64_t, std::int64_t, const std::string&, const std::string&) {};
};

/// Errors as eval_lm's; every model and data set is opened and checked before the first is scored.
ScoredMatrix eval_matrix(const EvalMatrixOptions& options, const EvalMatrixObserver& observer = {});

}  // namespace btm
