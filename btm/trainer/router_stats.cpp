#include "btm/trainer/router_stats.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "compat/base/concat.h"

namespace btm {

void RouterStats::add(const RouterStats& other) {
  tokens += other.tokens;
  balance += other.balance;
  z += other.z;
  loads.resize(std::max(loads.size(), other.loads.size()));
  for (std::size_t layer = 0; layer < other.loads.size(); ++layer) {
    const std::vector<double>& more = other.loads[layer];
    loads[layer].resize(std::max(loads[layer].size(), more.size()));
    for (std::size_t e = 0; e < more.size(); ++e) loads[layer][e] += more[e];
  }
}

std::string RouterStats::bytes() const {
  std::vector<double> numbers{tokens, balance, z, static_cast<double>(loads.size())};
  for (const std::vector<double>& layer : loads) {  // a layer that was left out has no numbers
    numbers.push_back(static_cast<double>(layer.size()));
    numbers.insert(numbers.end(), layer.begin(), layer.end());
  }
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

RouterStats RouterStats::from_bytes(const std::string& bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  constexpr std::size_t kHead = 4;
  RouterStats stats;
  if (numbers.size() < kHead) return stats;
  stats.tokens = numbers[0];
  stats.balance = numbers[1];
  stats.z = numbers[2];
  const auto layers = static_cast<std::size_t>(numbers[3]);
  std::size_t at = kHead;
  while (stats.loads.size() < layers && at < numbers.size()) {
    const std::size_t experts =
        std::min(static_cast<std::size_t>(numbers[at]), numbers.size() - at - 1);
    const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(at + 1);
    stats.loads.emplace_back(first, first + static_cast<std::ptrdiff_t>(experts));
    at += experts + 1;
  }
  return stats;
}

void RouterStats::log(MetersDict& meters) const {
  if (tokens == 0) return;
  constexpr int kPriority = 600;
  meters.log_scalar("lb_loss", balance / tokens, tokens, kPriority, 4);
  meters.log_scalar("z_loss", z / tokens, tokens, kPriority, 4);
  for (std::size_t layer = 0; layer < loads.size(); ++layer) {
    const double sum = std::accumulate(loads[layer].begin(), loads[layer].end(), 0.0);
    if (sum > 0)
      meters.log_scalar(compat::concat("load_", layer),
                        *std::ranges::max_element(loads[layer]) / sum, tokens, kPriority, 3);
  }
}

}  // namespace btm
