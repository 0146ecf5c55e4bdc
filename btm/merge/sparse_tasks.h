// Task vectors t_i = x_i - b of which some elements are kept, and their sums. The rules and
// defaults are those of mergekit 0.1.5. Every function works on one piece of a tensor, in fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "btm/merge/merge_methods.h"

namespace btm {

/// Which elements of a task vector are kept, tensor by tensor.
enum class Sparsifier : std::uint8_t {
  kLargest,   ///< the largest magnitudes (TIES)
  kRandom,    ///< each with the probability `density` (DARE)
  kOutliers,  ///< the largest magnitudes without the very largest (Model Breadcrumbs)
  kRanks,     ///< at random; in each row larger ones more often (DELLA)
};

struct SparseMethod {
  Sparsifier sparsifier = Sparsifier::kLargest;
  bool elects = false;      ///< Only elements with the sign of the weighted sum count.
  bool normalizes = false;  ///< By default, the sum is divided by the weights that count.
  bool rescales = false;    ///< By default, what is kept gets the L1 norm of the whole.
};

struct SparseParameters {
  double density = 1;     ///< The share that is kept.
  double gamma = 0.01;    ///< kOutliers: the share of the largest that is dropped.
  double epsilon = 0.15;  ///< kRanks: probabilities go from density - epsilon to density + epsilon.
};

/// Whether kRanks can draw with these parameters: density - epsilon and density + epsilon are
/// between 0 and 1.
constexpr bool are_probabilities(double density, double epsilon) noexcept {
  return density - epsilon > 0 && density + epsilon < 1 && epsilon >= 0;
}

/// The magnitudes between two values. Elements equal to one of the values are numbered from 0 in
/// the order of the tensor; some of them are kept.
struct Band {
  static constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();
  float low = 0, high = std::numeric_limits<float>::infinity();
  std::uint64_t low_from = 0, low_to = kAll;  ///< Of those equal to `low`.
  std::uint64_t high_to = 0;                  ///< Of those equal to `high`, where it is not `low`.
};

/// How many elements of a piece, or of all before it, equal the ends of a band.
struct BandEnds {
  std::uint64_t lows = 0, highs = 0;
};

/// The places [first, last) that are kept of `numel` elements, sorted from the smallest magnitude.
struct Places {
  std::uint64_t first = 0, last = 0;
  bool operator==(const Places&) const = default;
};
/// Of kLargest (at least one) and kOutliers.
Places places_kept(Sparsifier sparsifier, const SparseParameters& parameters, std::uint64_t numel);

/// out = model - base.
void task_vector(std::span<const float> base, std::span<const float> model, std::span<float> out);
BandEnds count_ends(std::span<const float> values, const Band& band);
/// Sets elements of `task` outside the band to 0. The band is one of `keys`, which may be `task`.
/// `before`: the elements equal to the ends in earlier pieces.
void keep_band(std::span<const float> keys, const Band& band, BandEnds before,
               std::span<float> task);
/// Keeps elements with probability `density`. `first`: the number of the first in the tensor.
void keep_random(const DareMask& mask, double density, std::uint64_t first, std::span<float> task);
/// Keeps elements of rows of length `row` with probabilities that grow with the rank of their
/// magnitude in the row (DELLA's MAGPRUNE). A row of one has the probability `density`.
void keep_by_rank(const DareMask& mask, const SparseParameters& parameters, std::uint64_t first,
                  std::size_t row, std::span<float> task);
double magnitude_sum(std::span<const float> values);

/// How the sparse t_i become one.
struct TaskSum {
  bool elects = false, normalizes = false;
  double scale = 1;
};
/// out = b + scale sum_i w_i t_i. With `elects`, over those whose w_i t_i has the sign of the sum
/// of all. `normalizes` divides by the sum of the weights that count, unless that is 0.
void add_tasks(std::span<const float> base, Models tasks, std::span<const float> weights,
               const TaskSum& sum, std::span<float> out);

/// The variance of each element over the models, computed in double precision.
void variances(std::span<const float> base, Models models, std::span<float> out);
/// SCE: out = b + the mean, by `weights`, of those t_i that have the sign of sum_i t_i.
void add_sce_tasks(std::span<const float> base, Models tasks, std::span<const float> weights,
                   std::span<float> out);

}  // namespace btm
