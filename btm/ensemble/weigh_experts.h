// Which experts a few documents want. D documents, E experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "btm/evaluator/bootstrap.h"
#include "btm/evaluator/text_scorer.h"
#include "btm/mixing/ensemble_type.h"

namespace btm {

struct WeighOptions {
  PosteriorRule rule = PosteriorRule::kFull;  ///< Of the mixtures whose perplexity is given.
  double tolerance = 0.01;                    ///< The share of perplexity that may be lost.
  std::int64_t resamples = 1000;              ///< Draws of documents, for intervals.
  std::int64_t seed = 1;
};

struct Weighing {
  std::int64_t documents = 0, tokens = 0;
  /// [E] the mean over the documents of the experts' posterior after each of them (evidence_of()).
  std::vector<double> posterior;
  std::vector<double> perplexity;  ///< [E] of each expert alone.

  /// Where the posterior of so many documents lies, 95 times of 100.
  struct Growth {
    std::int64_t documents = 0;
    std::vector<Interval> interval;  ///< [E]
  };
  std::vector<Growth> growth;  ///< Up to D documents. The last one is the posterior's interval.

  /// A mixture of the k experts with the largest posterior, which is its prior.
  struct Mixture {
    std::vector<std::size_t> experts;  ///< [k], the largest first.
    double perplexity = 0;             ///< Of the documents.
    double lost = 0;                   ///< Share of perplexity above that of all E.
  };
  std::vector<Mixture> mixtures;  ///< [E] k = 1, 2, ..., E
  std::size_t keep = 0;           ///< The least k that loses no more than the tolerance.
};

/// `scores` [D] of a predictor that runs all experts. std::invalid_argument for no document and for
/// fewer than two experts.
///
/// An interval is the percentile interval of a bootstrap over documents. It says how the posterior
/// varies from handful to handful, not how it depends on the choice of experts.
Weighing weigh_experts(std::span<const TextScore> scores, const WeighOptions& options);

}  // namespace btm
