// The arithmetic of merging, without files. Every function works on one piece: the values of the
// same elements of all models, fp32, models in the order given.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace btm {

using Models = std::span<const std::span<const float>>;

/// out = sum_i weights[i] models[i], from 0 and in the order of the models. With up to four models
/// the bits are those of torch.sum over a stack (hadasah/btm's average.py). With more, torch sums
/// some columns in another order. A model of weight 0 is not read, so NaN in it does not matter.
void linear_sum(Models models, std::span<const float> weights, std::span<float> out);

/// The inner products from which the angle between two tensors is computed.
struct InnerProducts {
  double ab = 0, aa = 0, bb = 0;
  InnerProducts& operator+=(const InnerProducts& other) noexcept;
};
InnerProducts inner_products(std::span<const float> a, std::span<const float> b) noexcept;

/// The factors of a and b in slerp(a, b; t) = (sin((1 - t) theta) a + sin(t theta) b) / sin(theta),
/// where theta is the angle between them (Shoemake 1985). They are 1 - t and t for (almost)
/// parallel, opposite or zero vectors, for which the formula has no value.
/// `straight`: the cosine beyond which vectors count as parallel or opposite (mergekit: 0.9995).
std::pair<double, double> slerp_factors(const InnerProducts& products, double t,
                                        double straight = 1) noexcept;

/// out = base + scale sum_i weights[i] (models[i] - base).
void add_task_vectors(std::span<const float> base, Models models, std::span<const float> weights,
                      float scale, std::span<float> out);

/// DARE: keeps element `first + j` of model i's task vector with probability `density`, divided by
/// it, and drops the others. The choice depends only on `stream` (seed, model and tensor) and the
/// element, not on pieces or threads.
struct DareMask {
  std::uint64_t stream = 0;
  bool keeps(std::uint64_t element, double density) const noexcept;
};
DareMask dare_mask(std::uint64_t seed, std::size_t model, std::string_view tensor) noexcept;
void add_dropped_task_vectors(std::span<const float> base, Models models,
                              std::span<const float> weights, float scale, double density,
                              std::span<const DareMask> masks, std::uint64_t first,
                              std::span<float> out);

/// TIES of trimmed task vectors: element by element the sign of sum_i weights[i] t_i is elected,
/// and the t_i of that sign are averaged with their weights; out = base + scale times that. t_i =
/// models[i] - base where |t_i| >= thresholds[i], else 0.
void add_elected_task_vectors(std::span<const float> base, Models models,
                              std::span<const float> weights, float scale,
                              std::span<const float> thresholds, std::span<float> out);

/// The exact k-th largest magnitude of many floats, from two passes over them. The first counts the
/// upper halves of their bits, the second the lower halves of those in the bucket that holds the
/// k-th.
class MagnitudeRank {
 public:
  void count_upper(std::span<const float> values);
  void add(const MagnitudeRank& other);  ///< Another thread's counts.
  bool all_finite() const noexcept;      ///< After the first pass: no element was infinite or NaN.
  /// Ends the first pass. `keep` is k.
  void choose(std::uint64_t keep);
  void count_lower(std::span<const float> values);

  struct Found {
    float value = 0;                     ///< The k-th largest magnitude.
    std::uint64_t above = 0, equal = 0;  ///< How many are larger, and how many are equal to it.
  };
  Found found() const;
  /// The smallest magnitude among the `keep` largest; 0 keeps all.
  float threshold() const { return found().value; }

 private:
  std::vector<std::uint64_t> upper_ = std::vector<std::uint64_t>(std::size_t{1} << 15);
  std::vector<std::uint64_t> lower_ = std::vector<std::uint64_t>(std::size_t{1} << 16);
  std::uint32_t bucket_ = 0;
  std::uint64_t keep_ = 0, rank_ = 0;  ///< k; and in the bucket, from 1.
};

}  // namespace btm
