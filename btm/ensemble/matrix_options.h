// What an evaluation matrix is made of, and which combinations make sense. No torch here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "btm/ensemble/mixture.h"
#include "btm/evaluator/eval_options.h"
#include "btm/mixing/ensemble_type.h"

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
  std::vector<EnsembleType> ensembles;  ///< A row each.
  MixtureOptions cluster_prior;         ///< Of the rows that depend on the text.
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

/// The name of an ensemble's row: "ensemble cached_prior".
std::string row_name(EnsembleType type);

/// UsageError for options that name something twice, or something that is not there.
void check_matrix_options(const EvalMatrixOptions& options);

/// Takes out the row of a model, and everything that depends on it. std::runtime_error when no
/// model is left.
void leave_out(const std::string& model, EvalMatrixOptions& options);

}  // namespace btm
