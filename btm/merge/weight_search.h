// A search for the weights of an average, by its loss on data. This file needs no LibTorch. N
// models, G groups of layers.
//
// The search moves the logits z of the weights, w = softmax(z), one at a time. Each logit has a
// step with a sign. A step that lowers the loss is kept, and the next one of this logit is twice as
// long; one that does not is taken back, and the next one is half as long in the other direction
// (Rosenbrock 1960, without his rotation of the axes). The logits come in an order that is drawn
// anew for each round. With groups, the first half of the evaluations moves all groups together,
// and the rest each group by itself. The search ends when all steps are short, or when the
// evaluations are used up. It depends only on the losses and the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace btm {

/// [G][N] the weights of each group's models. They sum to 1 in each group.
using GroupWeights = std::vector<std::vector<double>>;

struct WeightSearchOptions {
  std::size_t groups = 1;
  std::size_t evaluations = 60;
  std::uint64_t seed = 1;
  double first_step = 1;          ///< In logits: a factor of e in the odds.
  double shortest_step = 0.0625;  ///< Shorter steps of all logits end the search.
};

struct WeightSearch {
  struct Trial {
    GroupWeights weights;
    double loss = 0;
    bool kept = false;  ///< The best so far.
  };
  std::vector<Trial> trials;  ///< In the order of the evaluations.
  std::size_t best = 0;
  bool converged = false;  ///< Ended by short steps, not by the number of evaluations.
};

/// Starts from the best of `starts` [N] each, which are evaluated first; weights below 1e-4 are
/// raised to it, so that they can grow. `evaluate` gives the loss of weights. std::invalid_argument
/// for no start, no evaluation, and starts that do not fit; std::runtime_error for a loss that is
/// not finite.
WeightSearch search_weights(const std::vector<std::vector<double>>& starts,
                            const WeightSearchOptions& options,
                            const std::function<double(const GroupWeights&)>& evaluate);

}  // namespace btm
