#include "btm/cluster/balanced_kmeans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace btm {
namespace {

double cost_of(const std::vector<float>& costs, std::size_t k,
               const std::vector<std::uint32_t>& assignment) {
  double sum = 0;
  for (std::size_t i = 0; i < assignment.size(); ++i) sum += costs[i * k + assignment[i]];
  return sum;
}

/// The lowest cost of all assignments in which no cluster has more than ceil(n / k) points.
double least_cost(const std::vector<float>& costs, std::size_t n, std::size_t k) {
  const std::size_t capacity = (n + k - 1) / k;
  std::vector<std::uint32_t> assignment(n, 0);
  double least = std::numeric_limits<double>::infinity();
  for (;;) {
    bool fits = true;
    for (std::uint32_t j = 0; j < k; ++j)
      fits = fits && static_cast<std::size_t>(std::ranges::count(assignment, j)) <= capacity;
    if (fits) least = std::min(least, cost_of(costs, k, assignment));
    std::size_t i = 0;
    while (i < n && ++assignment[i] == k) assignment[i++] = 0;
    if (i == n) return least;
  }
}

std::vector<float> random_costs(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> costs(count);
  for (float& cost : costs) cost = static_cast<float>(random() % 1000) / 1000;
  return costs;
}

TEST(BalancedAssignment, CostsTheLeastThatAnyCosts) {
  for (std::uint64_t seed = 0; seed < 30; ++seed)
    for (const auto& [n, k] :
         std::vector<std::pair<std::size_t, std::size_t>>{{6, 2}, {7, 3}, {8, 4}, {5, 4}, {9, 3}}) {
      const std::vector<float> costs = random_costs(n * k, seed);
      const double least = least_cost(costs, n, k),
                   found = cost_of(costs, k, balanced_assignment(costs, n, k));
      EXPECT_GE(found, least - 1e-6);
      EXPECT_LE(found, least + static_cast<double>(n + k) / 4000)
          << n << " points, " << k << " clusters, seed " << seed;
    }
}

TEST(BalancedAssignment, FillsNoClusterBeyondItsShare) {
  const std::size_t n = 1003, k = 10;
  std::vector<float> costs = random_costs(n * k, 1);
  for (std::size_t i = 0; i < n; ++i) costs[i * k] = 0;  // all points prefer the first cluster
  std::vector<std::size_t> sizes(k, 0);
  for (const std::uint32_t cluster : balanced_assignment(costs, n, k)) ++sizes[cluster];
  EXPECT_EQ(*std::ranges::max_element(sizes), 101U);
  std::size_t total = 0;
  for (const std::size_t size : sizes) total += size;
  EXPECT_EQ(total, n);
}

TEST(BalancedAssignment, ManagesEqualCostsAndOneCluster) {
  EXPECT_EQ(balanced_assignment(std::vector<float>(12, 1.0F), 4, 3).size(), 4U);
  EXPECT_EQ(balanced_assignment(std::vector<float>(4, 1.0F), 4, 1),
            std::vector<std::uint32_t>(4, 0));
  EXPECT_TRUE(balanced_assignment({}, 0, 3).empty());
}

/// `count` points around each of three corners, corner by corner.
std::vector<float> corner_points(std::size_t count) {
  const std::vector<float> corners{0, 0, 10, 0, 0, 10}, noise = random_costs(count * 6, 3);
  std::vector<float> points;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t d = 0; d < 6; ++d) points.push_back(corners[d] + noise[i * 6 + d]);
  return points;
}

TEST(WeightBalancedAssignment, GivesEachClusterTheSameWeight) {
  constexpr std::size_t kPoints = 900, kClusters = 5;
  const std::vector<float> costs = random_costs(kPoints * kClusters, 11);
  std::vector<double> weights;
  for (std::size_t i = 0; i < kPoints; ++i) weights.push_back(1.0 + static_cast<double>(i % 40));
  const auto clusters = weight_balanced_assignment(costs, kPoints, kClusters, weights);
  std::vector<double> loads(kClusters, 0.0);
  double total = 0;
  for (std::size_t i = 0; i < kPoints; ++i) {
    loads[clusters[i]] += weights[i];
    total += weights[i];
  }
  for (const double load : loads) EXPECT_LE(load, 1.01 * total / kClusters);
}

TEST(WeightBalancedAssignment, SpreadsPointsThatAllLikeOneCluster) {
  std::vector<float> costs;
  for (int i = 0; i < 40; ++i) costs.insert(costs.end(), {0.0F, 1.0F});
  const auto clusters = weight_balanced_assignment(costs, 40, 2, std::vector<double>(40, 3.0));
  EXPECT_EQ(std::ranges::count(clusters, 0U), 20);
}

TEST(WeightBalancedAssignment, LeavesApartWhatIsBalanced) {
  KMeansOptions options;
  options.clusters = 3;
  options.weights.assign(120, 1.0);
  const KMeansResult result = balanced_kmeans(corner_points(40), 2, options);
  for (std::size_t i = 3; i < result.assignment.size(); ++i)
    EXPECT_EQ(result.assignment[i], result.assignment[i % 3]);
}

TEST(BalancedKMeans, FindsClustersOfEqualSize) {
  KMeansOptions options;
  options.clusters = 3;
  const KMeansResult result = balanced_kmeans(corner_points(40), 2, options);
  for (std::size_t i = 3; i < result.assignment.size(); ++i)
    EXPECT_EQ(result.assignment[i], result.assignment[i % 3]);
  EXPECT_LT(result.mean_distance, 0.5);
}

TEST(BalancedKMeans, IsTheSameForTheSameSeed) {
  KMeansOptions options;
  options.clusters = 4;
  const std::vector<float> points = random_costs(600, 5);
  EXPECT_EQ(balanced_kmeans(points, 3, options).centers,
            balanced_kmeans(points, 3, options).centers);
}

TEST(BalancedKMeans, WithoutBalanceTakesTheNearestCentre) {
  KMeansOptions options;
  options.clusters = 2;
  options.balanced = false;
  std::vector<float> points(30, 0.0F);
  points.push_back(100);
  const KMeansResult result = balanced_kmeans(points, 1, options);
  EXPECT_EQ(std::ranges::count(result.assignment, result.assignment[0]), 30);
}

}  // namespace
}  // namespace btm
