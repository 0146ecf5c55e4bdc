#include "btm/merge/sparse_tasks.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace btm {
namespace {

/// The part of `share` of `numel`, rounded down as Python's int().
std::uint64_t part(double share, std::uint64_t numel) {
  return static_cast<std::uint64_t>(share * static_cast<double>(numel));
}

}  // namespace

Places places_kept(Sparsifier sparsifier, const SparseParameters& parameters, std::uint64_t numel) {
  if (numel == 0 || parameters.density <= 0) return {};
  const std::uint64_t kept = std::min(part(parameters.density, numel), numel);
  if (sparsifier == Sparsifier::kLargest) return {numel - std::max<std::uint64_t>(1, kept), numel};
  const std::uint64_t dropped = std::min(part(parameters.gamma, numel), numel - kept);
  const std::uint64_t first = numel - kept - dropped;
  return {first, first + kept};
}

void task_vector(std::span<const float> base, std::span<const float> model, std::span<float> out) {
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = model[j] - base[j];
}

BandEnds count_ends(std::span<const float> values, const Band& band) {
  BandEnds ends;
  for (const float value : values) {
    const float magnitude = std::abs(value);
    ends.lows += magnitude == band.low;
    ends.highs += magnitude == band.high;
  }
  return ends;
}

void keep_band(std::span<const float> keys, const Band& band, BandEnds before,
               std::span<float> task) {
  for (std::size_t j = 0; j < task.size(); ++j) {
    const float magnitude = std::abs(keys[j]);
    bool kept = magnitude > band.low && magnitude < band.high;
    if (magnitude == band.low) {
      kept = before.lows >= band.low_from && before.lows < band.low_to;
      ++before.lows;
    } else if (magnitude == band.high) {
      kept = before.highs++ < band.high_to;
    }
    if (!kept) task[j] = 0;
  }
}

void keep_random(const DareMask& mask, double density, std::uint64_t first, std::span<float> task) {
  for (std::size_t j = 0; j < task.size(); ++j)
    if (!mask.keeps(first + j, density)) task[j] = 0;
}

void keep_by_rank(const DareMask& mask, const SparseParameters& parameters, std::uint64_t first,
                  std::size_t row, std::span<float> task) {
  std::vector<std::uint64_t> order(row);  // magnitude, then place: equal ones keep their order
  for (std::size_t begin = 0; begin < task.size(); begin += row) {
    for (std::size_t j = 0; j < row; ++j)
      order[j] = std::uint64_t{std::bit_cast<std::uint32_t>(std::abs(task[begin + j]))} << 32 | j;
    std::ranges::sort(order);
    for (std::size_t rank = 0; rank < row; ++rank) {
      const std::size_t at = begin + (order[rank] & 0xFFFFFFFFu);
      const double share = row > 1 ? static_cast<double>(rank) / static_cast<double>(row - 1) : 0.5;
      const double probability = parameters.density + (2 * share - 1) * parameters.epsilon;
      if (!mask.keeps(first + at, probability)) task[at] = 0;
    }
  }
}

double magnitude_sum(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += std::abs(static_cast<double>(value));
  return sum;
}

void add_tasks(std::span<const float> base, Models tasks, std::span<const float> weights,
               const TaskSum& how, std::span<float> out) {
  constexpr float kLeast = 1e-8f;
  const auto scale = static_cast<float>(how.scale);
  float all = 0;
  for (const float weight : weights) all += weight;
  for (std::size_t j = 0; j < out.size(); ++j) {
    float sum = 0, total = all;
    for (std::size_t i = 0; i < tasks.size(); ++i) sum += weights[i] * tasks[i][j];
    if (how.elects) {
      const bool positive = sum >= 0;
      sum = total = 0;
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        const float term = weights[i] * tasks[i][j];
        if (!(positive ? term > 0 : term < 0)) continue;
        sum += term;
        total += weights[i];
      }
    }
    if (how.normalizes && !(how.elects ? total == 0 : std::abs(total) < kLeast)) sum /= total;
    out[j] = base[j] + scale * sum;
  }
}

void variances(std::span<const float> base, Models models, std::span<float> out) {
  const auto count = static_cast<double>(models.size());
  for (std::size_t j = 0; j < out.size(); ++j) {
    double mean = 0, squares = 0;
    for (const auto model : models) mean += model[j] - base[j];
    mean /= count;
    for (const auto model : models) {
      const double off = static_cast<double>(model[j] - base[j]) - mean;
      squares += off * off;
    }
    out[j] = static_cast<float>(squares / count);
  }
}

void add_sce_tasks(std::span<const float> base, Models tasks, std::span<const float> weights,
                   std::span<float> out) {
  constexpr float kLeast = 1e-6f;
  for (std::size_t j = 0; j < out.size(); ++j) {
    float mass = 0, sum = 0, total = 0;
    for (const auto task : tasks) mass += task[j];
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const float task = tasks[i][j];
      if (!(mass >= 0 ? task > 0 : task < 0)) continue;
      sum += weights[i] * task;
      total += weights[i];
    }
    out[j] = base[j] + sum / std::max(total, kLeast);
  }
}

}  // namespace btm
