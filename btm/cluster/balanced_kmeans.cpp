#include "btm/cluster/balanced_kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>
#include <random>
#include <utility>

namespace btm {
namespace {

constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();

/// Points bid for slots of the clusters; a slot belongs to the highest bidder. One round for each
/// increment.
class Auction {
 public:
  Auction(std::span<const float> costs, std::size_t n, std::size_t k)
      : costs_(costs), n_(n), k_(k), capacity_((n + k - 1) / k), holders_(capacity_ * k, kNobody) {
    for (std::size_t j = 0; j < k_; ++j) {
      prices_.emplace_back();
      for (std::size_t slot = j * capacity_; slot < (j + 1) * capacity_; ++slot)
        prices_[j].push({0.0, slot});
    }
  }

  void run(double increment) {
    std::ranges::fill(holders_, kNobody);
    std::vector<std::size_t> waiting(
        holders_.size());  // as many bidders as slots: those beyond n like all clusters alike
    std::iota(waiting.begin(), waiting.end(), 0);
    while (!waiting.empty()) {
      const std::size_t bidder = waiting.back();
      waiting.pop_back();
      const std::size_t evicted = bid(bidder, increment);
      if (evicted != kNobody) waiting.push_back(evicted);
    }
  }

  std::vector<std::uint32_t> assignment() const {
    std::vector<std::uint32_t> clusters(n_);
    for (std::size_t slot = 0; slot < holders_.size(); ++slot)
      if (holders_[slot] < n_)
        clusters[holders_[slot]] = static_cast<std::uint32_t>(slot / capacity_);
    return clusters;
  }

 private:
  using Slot = std::pair<double, std::size_t>;  ///< price and number
  using CheapestFirst = std::priority_queue<Slot, std::vector<Slot>, std::greater<>>;

  /// Takes the cheapest slot of the cluster that is worth most to `bidder`, at the price at which
  /// another cluster would be as good, and a little more. Returns who had it.
  std::size_t bid(std::size_t bidder, double increment) {
    double best = -std::numeric_limits<double>::infinity(), second = best;
    std::size_t cluster = 0;
    for (std::size_t j = 0; j < k_; ++j) {
      const double value = -(bidder < n_ ? static_cast<double>(costs_[bidder * k_ + j]) : 0.0) -
                           prices_[j].top().first;
      if (value > best) {
        second = best;
        best = value;
        cluster = j;
      } else if (value > second) {
        second = value;
      }
    }
    const auto [price, slot] = prices_[cluster].top();
    prices_[cluster].pop();
    prices_[cluster].push({price + best - second + increment, slot});
    return std::exchange(holders_[slot], bidder);
  }

  std::span<const float> costs_;
  std::size_t n_, k_, capacity_;
  std::vector<std::size_t> holders_;
  std::vector<CheapestFirst> prices_;
};

std::vector<float> first_centers(std::span<const float> points, std::size_t width, std::size_t k,
                                 std::mt19937_64& random) {
  const std::size_t n = points.size() / width;
  std::vector<float> centers;
  std::vector<double> nearest(n, std::numeric_limits<double>::infinity());
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  std::size_t chosen = static_cast<std::size_t>(uniform() * static_cast<double>(n));
  for (std::size_t j = 0; j < k; ++j) {
    const std::span<const float> center = points.subspan(chosen * width, width);
    centers.insert(centers.end(), center.begin(), center.end());
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      nearest[i] = std::min<double>(
          nearest[i], squared_distances(points.subspan(i * width, width), center, width)[0]);
      total += nearest[i];
    }
    double at = uniform() * total;
    chosen = n - 1;
    for (std::size_t i = 0; i < n; ++i)
      if ((at -= nearest[i]) < 0) {
        chosen = i;
        break;
      }
  }
  return centers;
}

/// The means of the clusters; one without a point keeps its centre.
std::vector<float> means(std::span<const float> points, std::size_t width,
                         std::span<const std::uint32_t> assignment, std::vector<float> centers) {
  std::vector<double> sums(centers.size(), 0.0);
  std::vector<std::size_t> counts(centers.size() / width, 0);
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    ++counts[assignment[i]];
    for (std::size_t d = 0; d < width; ++d)
      sums[assignment[i] * width + d] += points[i * width + d];
  }
  for (std::size_t j = 0; j < counts.size(); ++j)
    for (std::size_t d = 0; d < width && counts[j] > 0; ++d)
      centers[j * width + d] =
          static_cast<float>(sums[j * width + d] / static_cast<double>(counts[j]));
  return centers;
}

}  // namespace

std::vector<std::uint32_t> balanced_assignment(std::span<const float> costs, std::size_t n,
                                               std::size_t k) {
  if (k <= 1 || n == 0) return std::vector<std::uint32_t>(n, 0);
  const auto [lowest, highest] = std::ranges::minmax(costs);
  const double range = std::max<double>(static_cast<double>(highest) - lowest, 1e-12);
  Auction auction(costs, n, k);
  for (const double share : {4.0, 20.0, 100.0, 500.0, 4000.0}) auction.run(range / share);
  return auction.assignment();
}

namespace {

/// Clusters whose weights are to be alike.
class WeightBalance {
 public:
  WeightBalance(std::span<const float> costs, std::size_t n, std::size_t k,
                std::span<const double> weights)
      : costs_(costs),
        n_(n),
        k_(k),
        weights_(weights),
        target_(std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(k)) {}

  std::vector<std::uint32_t> run() {
    balance_prices();
    for (std::size_t pass = 0; pass < k_; ++pass)
      if (!move_from_heaviest()) break;
    return std::move(best_);
  }

 private:
  static constexpr int kRounds = 400;
  static constexpr double kTolerance = 0.01;

  double price(std::size_t i, std::size_t j) const { return costs_[i * k_ + j] + prices_[j]; }

  std::vector<double> assign(std::vector<std::uint32_t>& clusters) const {
    std::vector<double> loads(k_, 0.0);
    for (std::size_t i = 0; i < n_; ++i) {
      std::size_t cheapest = 0;
      for (std::size_t j = 1; j < k_; ++j)
        if (price(i, j) < price(i, cheapest)) cheapest = j;
      clusters[i] = static_cast<std::uint32_t>(cheapest);
      loads[cheapest] += weights_[i];
    }
    return loads;
  }

  void balance_prices() {
    const auto [lowest, highest] = std::ranges::minmax(costs_);
    const double range = std::max<double>(static_cast<double>(highest) - lowest, 1e-12);
    prices_.assign(k_, 0.0);
    std::vector<std::uint32_t> clusters(n_);
    double least = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds && least > kTolerance; ++round) {
      const std::vector<double> loads = assign(clusters);
      const double worst = std::ranges::max(loads) / target_ - 1;
      if (worst < least) {
        least = worst;
        best_ = clusters;
        loads_ = loads;
      }
      const double step = range / 4 / (1 + round / 8.0);
      for (std::size_t j = 0; j < k_; ++j)
        prices_[j] += step * std::clamp(loads[j] / target_ - 1, -1.0, 1.0);
    }
  }

  /// Whether the heaviest cluster was too heavy and lost points.
  bool move_from_heaviest() {
    const auto heavy = static_cast<std::size_t>(std::ranges::max_element(loads_) - loads_.begin());
    const double limit = target_ * (1 + kTolerance);
    if (loads_[heavy] <= limit) return false;
    std::vector<std::pair<double, std::size_t>> losses;  // of a move to the cheapest cluster
    for (std::size_t i = 0; i < n_; ++i)
      if (best_[i] == heavy)
        losses.emplace_back(costs_[i * k_ + cheapest_other(i, heavy)] - costs_[i * k_ + heavy], i);
    std::ranges::sort(losses);
    bool has_moved = false;
    for (const auto& [loss, i] : losses) {
      if (loads_[heavy] <= limit) break;
      std::size_t to = heavy;
      for (std::size_t j = 0; j < k_; ++j)
        if (j != heavy && loads_[j] + weights_[i] <= limit &&
            (to == heavy || costs_[i * k_ + j] < costs_[i * k_ + to]))
          to = j;
      if (to == heavy) continue;
      loads_[heavy] -= weights_[i];
      loads_[to] += weights_[i];
      best_[i] = static_cast<std::uint32_t>(to);
      has_moved = true;
    }
    return has_moved;
  }

  std::size_t cheapest_other(std::size_t i, std::size_t than) const {
    std::size_t cheapest = than == 0 ? 1 : 0;
    for (std::size_t j = 0; j < k_; ++j)
      if (j != than && costs_[i * k_ + j] < costs_[i * k_ + cheapest]) cheapest = j;
    return cheapest;
  }

  std::span<const float> costs_;
  std::size_t n_, k_;
  std::span<const double> weights_;
  double target_;
  std::vector<double> prices_, loads_;
  std::vector<std::uint32_t> best_;
};

}  // namespace

std::vector<std::uint32_t> weight_balanced_assignment(std::span<const float> costs, std::size_t n,
                                                      std::size_t k,
                                                      std::span<const double> weights) {
  if (k <= 1 || n == 0) return std::vector<std::uint32_t>(n, 0);
  return WeightBalance(costs, n, k, weights).run();
}

std::vector<std::uint32_t> nearest_assignment(std::span<const float> costs, std::size_t n,
                                              std::size_t k) {
  std::vector<std::uint32_t> nearest(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = costs.subspan(i * k, k);
    nearest[i] = static_cast<std::uint32_t>(std::ranges::min_element(row) - row.begin());
  }
  return nearest;
}

std::vector<float> squared_distances(std::span<const float> points, std::span<const float> centers,
                                     std::size_t width) {
  std::vector<float> distances;
  distances.reserve(points.size() / width * (centers.size() / width));
  for (std::size_t i = 0; i < points.size(); i += width)
    for (std::size_t j = 0; j < centers.size(); j += width) {
      float sum = 0;
      for (std::size_t d = 0; d < width; ++d) {
        const float difference = points[i + d] - centers[j + d];
        sum += difference * difference;
      }
      distances.push_back(sum);
    }
  return distances;
}

KMeansResult balanced_kmeans(std::span<const float> points, std::size_t width,
                             const KMeansOptions& options) {
  const std::size_t n = points.size() / width, k = options.clusters;
  std::mt19937_64 random(options.seed);
  KMeansResult result;
  result.centers = first_centers(points, width, k, random);
  for (int iteration = 1; iteration <= options.iterations; ++iteration) {
    const std::vector<float> distances = squared_distances(points, result.centers, width);
    result.assignment = !options.balanced ? nearest_assignment(distances, n, k)
                        : options.weights.empty()
                            ? balanced_assignment(distances, n, k)
                            : weight_balanced_assignment(distances, n, k, options.weights);
    result.mean_distance = 0;
    for (std::size_t i = 0; i < n; ++i)
      result.mean_distance += distances[i * k + result.assignment[i]] / static_cast<double>(n);
    std::vector<float> moved = means(points, width, result.assignment, result.centers);
    double shift = 0;
    for (std::size_t j = 0; j < k; ++j)
      shift += std::sqrt(squared_distances(std::span(moved).subspan(j * width, width),
                                           std::span(result.centers).subspan(j * width, width),
                                           width)[0]);
    result.centers = std::move(moved);
    options.progress(iteration, shift);
    if (shift * shift < options.tolerance) break;
  }
  return result;
}

}  // namespace btm
