// Evaluates many models on many domains in one run: perplexities, bits per byte, ensembles and the
// average of the models, with confidence intervals. Every model is loaded once. Its scores are
// kept, so that a later run does not compute them again.
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
  /// Name and path of each model, in the order of the rows.
  std::vector<std::pair<std::string, std::string>> models;
  /// The names of the models that are mixed and averaged. Empty for none.
  std::vector<std::string> experts;
  std::vector<EnsembleType> ensembles;  ///< A row each; not kClusterPrior.
  bool average = false;  ///< A row for the uniform average of the experts' parameters.
  PosteriorRule posterior = PosteriorRule::kLast;  ///< kLast or kFull.
  /// cached_prior's prior is the updating prior after batch `prior_batches` of this split, as in
  /// the release's ensemble_eval.sh. The first batch is number 0.
  std::string prior_split = "valid";
  std::int64_t prior_batches = 100;
  std::string baseline;  ///< The row that the others are compared with; empty: the first.
  /// The bytes of a domain's text. Those of other domains are counted with the dictionary.
  std::map<std::string, std::int64_t> bytes;
  std::string gpt2_encoder_json;  ///< Counts the bytes of a dictionary of GPT-2's ids.
  std::int64_t resamples = 1000, block_tokens = 512, seed = 1;  ///< Of the block bootstrap.
  /// Models whose scores are NaN or infinite are left out. Otherwise they are an error.
  bool skip_diverged = false;
  std::string cache;  ///< Folder of the scores.
};

struct ScoredMatrix : EvalMatrix {
  /// Pairs of model and data set: those that were scored, and those whose scores existed already.
  std::int64_t computed = 0, reused = 0;
};

struct EvalMatrixObserver {
  std::function<void(const std::string& line)> warn = [](const std::string&) {};
  /// Called with the number of scored batches and of all batches to score.
  std::function<void(std::int64_t done, std::int64_t of, const std::string& model,
                     const std::string& domain)>
      progress = [](std::int64_t, std::int64_t, const std::string&, const std::string&) {};
};

/// Opens and checks every model and data set before it scores the first. Errors of eval_lm().
ScoredMatrix eval_matrix(const EvalMatrixOptions& options, const EvalMatrixObserver& observer = {});

}  // namespace btm
