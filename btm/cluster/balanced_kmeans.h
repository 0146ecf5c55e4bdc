// k-means with clusters of equal size, on which c-BTM trains its experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace btm {

/// Assigns n points to k clusters of at most ceil(n / k) points and minimises the sum of `costs`
/// [n, k], up to n times 1/4000 of the range of the costs. Bertsekas and Castanon's auction (1989)
/// with scaled increments.
std::vector<std::uint32_t> balanced_assignment(std::span<const float> costs, std::size_t n,
                                               std::size_t k);

/// Assigns n points so that the sum of `weights` [n] in each cluster is at most 1 in 100 above the
/// mean, as far as single points allow it. Prices of the clusters rise with their weight until they
/// balance (the dual of the transport problem); then the points that lose least move from clusters
/// that are still too heavy.
std::vector<std::uint32_t> weight_balanced_assignment(std::span<const float> costs, std::size_t n,
                                                      std::size_t k,
                                                      std::span<const double> weights);

/// The cluster of least cost for each point.
std::vector<std::uint32_t> nearest_assignment(std::span<const float> costs, std::size_t n,
                                              std::size_t k);

/// Squared Euclidean distances [n, k] of `points` [n, width] to `centers` [k, width].
std::vector<float> squared_distances(std::span<const float> points, std::span<const float> centers,
                                     std::size_t width);

struct KMeansOptions {
  std::size_t clusters = 8;
  bool balanced = true;
  std::vector<double> weights = {};  ///< [n]: balance these sums; empty: the numbers of points.
  int iterations = 20;               ///< c-BTM's limit
  double tolerance =
      1e-3;  ///< c-BTM's: ends when the square of the summed shifts of the centres is below it
  std::uint64_t seed = 1;
  std::function<void(int iteration, double shift)> progress = [](int, double) {};
};

struct KMeansResult {
  std::vector<float> centers;             ///< [k, width]
  std::vector<std::uint32_t> assignment;  ///< [n]
  double mean_distance = 0;               ///< Squared, of a point to its centre.
};

/// Starts from centres drawn as k-means++ does (c-BTM draws them uniformly). n must be at least k.
KMeansResult balanced_kmeans(std::span<const float> points, std::size_t width,
                             const KMeansOptions& options);

}  // namespace btm
