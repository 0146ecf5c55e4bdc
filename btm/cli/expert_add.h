// `btm expert add`: a new expert of a forest, started from those that are there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "btm/branch/forest.h"
#include "btm/cli/eval_flags.h"
#include "btm/evaluator/eval_lm.h"

namespace btm {

struct ExpertAddOptions {
  std::filesystem::path forest;
  std::string domain, name;  ///< `name` "": the domain.
  std::string from;  ///< "nearest", "posterior", an expert's name or a checkpoint's path; "":
                     ///< posterior, or as it was begun.
  EvalLmOptions
      eval;  ///< `data`: the new domain's data-bin; `gen_subset` "": valid_DOMAIN or valid.
  std::int64_t prior_batches = 100;  ///< The posterior is that after batch N, counted from 0.
  std::vector<std::string> train_flags;
  LogOptions log;
};

/// Chooses the start, notes it in the manifest, trains with `btm train` in a process of its own,
/// evaluates, and marks the expert complete. Goes on where an earlier call with the same name
/// ended. Returns btm train's status when it is not 0. Lines on what happens go to stderr.
/// UsageError, IoError, FormatError as the parts'.
int add_expert(ExpertAddOptions options);

}  // namespace btm
