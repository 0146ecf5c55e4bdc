// Evaluates many models on many domains in one run: perplexities, bits per byte, ensembles and the
// average of the models, with confidence intervals. Every model is loaded once. Its scores are
// kept, so that a later run does not compute them again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "btm/ensemble/matrix_options.h"
#include "btm/report/evaluation_matrix.h"

namespace btm {

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
