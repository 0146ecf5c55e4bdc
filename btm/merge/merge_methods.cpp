#include "btm/merge/merge_methods.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace btm {
namespace {

/// Elements that stay in the first-level cache during the loop over all models.
constexpr std::size_t kBlock = 2048;

template <class Work>
void for_each_block(std::size_t size, Work work) {
  for (std::size_t begin = 0; begin < size; begin += kBlock)
    work(begin, std::min(size, begin + kBlock));
}

std::uint32_t magnitude_bits(float value) noexcept {
  return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFu;
}

/// SplitMix64's output function: a bijection whose results pass for random.
std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

void linear_sum(Models models, std::span<const float> weights, std::span<float> out) {
  for_each_block(out.size(), [&](std::size_t begin, std::size_t end) {
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(begin),
              out.begin() + static_cast<std::ptrdiff_t>(end), 0.0f);
    for (std::size_t i = 0; i < models.size(); ++i) {
      const float weight = weights[i];
      if (weight == 0) continue;
      const float* const x = models[i].data();
      for (std::size_t j = begin; j < end; ++j) out[j] += weight * x[j];
    }
  });
}

InnerProducts& InnerProducts::operator+=(const InnerProducts& other) noexcept {
  ab += other.ab;
  aa += other.aa;
  bb += other.bb;
  return *this;
}

InnerProducts inner_products(std::span<const float> a, std::span<const float> b) noexcept {
  InnerProducts sum;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double x = a[j], y = b[j];
    sum.ab += x * y;
    sum.aa += x * x;
    sum.bb += y * y;
  }
  return sum;
}

std::pair<double, double> slerp_factors(const InnerProducts& products, double t,
                                        double straight) noexcept {
  const double norms = std::sqrt(products.aa) * std::sqrt(products.bb);
  const double cosine = norms > 0 ? std::clamp(products.ab / norms, -1.0, 1.0) : 1.0;
  const double theta = std::acos(cosine), sine = std::sin(theta);
  constexpr double kStraight =
      1e-6;  // below it the quotient loses its digits, and is 1 - t and t within 1e-12
  if (!(sine > kStraight) || std::abs(cosine) > straight) return {1 - t, t};
  return {std::sin((1 - t) * theta) / sine, std::sin(t * theta) / sine};
}

void add_task_vectors(std::span<const float> base, Models models, std::span<const float> weights,
                      float scale, std::span<float> out) {
  for_each_block(out.size(), [&](std::size_t begin, std::size_t end) {
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(begin),
              out.begin() + static_cast<std::ptrdiff_t>(end), 0.0f);
    for (std::size_t i = 0; i < models.size(); ++i)
      for (std::size_t j = begin; j < end; ++j) out[j] += weights[i] * (models[i][j] - base[j]);
    for (std::size_t j = begin; j < end; ++j) out[j] = base[j] + scale * out[j];
  });
}

bool DareMask::keeps(std::uint64_t element, double density) const noexcept {
  const std::uint64_t bits = mixed(stream + (element + 1) * 0x9E3779B97F4A7C15u);
  return static_cast<double>(bits >> 11) * 0x1p-53 < density;
}

DareMask dare_mask(std::uint64_t seed, std::size_t model, std::string_view tensor) noexcept {
  std::uint64_t state = mixed(seed + 0x9E3779B97F4A7C15u);
  state = mixed(state ^ mixed(model + 1));
  for (const char c : tensor) state = mixed(state ^ static_cast<unsigned char>(c));
  return {state};
}

void add_dropped_task_vectors(std::span<const float> base, Models models,
                              std::span<const float> weights, float scale, double density,
                              std::span<const DareMask> masks, std::uint64_t first,
                              std::span<float> out) {
  std::ranges::fill(out, 0.0f);
  for (std::size_t i = 0; i < models.size(); ++i) {
    const auto rescaled = static_cast<float>(weights[i] / density);
    for (std::size_t j = 0; j < out.size(); ++j)
      if (masks[i].keeps(first + j, density)) out[j] += rescaled * (models[i][j] - base[j]);
  }
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = base[j] + scale * out[j];
}

void add_elected_task_vectors(std::span<const float> base, Models models,
                              std::span<const float> weights, float scale,
                              std::span<const float> thresholds, std::span<float> out) {
  const auto trimmed = [&](std::size_t i, std::size_t j) {
    const float task = models[i][j] - base[j];
    return std::abs(task) >= thresholds[i] ? task : 0.0f;
  };
  for (std::size_t j = 0; j < out.size(); ++j) {
    float mass = 0, sum = 0, total = 0;
    for (std::size_t i = 0; i < models.size(); ++i) mass += weights[i] * trimmed(i, j);
    for (std::size_t i = 0; i < models.size(); ++i) {
      const float task = trimmed(i, j);
      if (!(task > 0 && mass > 0) && !(task < 0 && mass < 0)) continue;
      sum += weights[i] * task;
      total += weights[i];
    }
    out[j] = base[j] + (total > 0 ? scale * (sum / total) : 0.0f);
  }
}

void MagnitudeRank::count_upper(std::span<const float> values) {
  for (const float value : values) ++upper_[magnitude_bits(value) >> 16];
}

void MagnitudeRank::add(const MagnitudeRank& other) {
  for (std::size_t i = 0; i < upper_.size(); ++i) upper_[i] += other.upper_[i];
  for (std::size_t i = 0; i < lower_.size(); ++i) lower_[i] += other.lower_[i];
}

void MagnitudeRank::choose(std::uint64_t keep) {
  rank_ = keep_ = keep;
  for (bucket_ = static_cast<std::uint32_t>(upper_.size()); bucket_-- > 0;) {
    if (rank_ <= upper_[bucket_]) return;
    rank_ -= upper_[bucket_];
  }
  bucket_ = 0;
}

void MagnitudeRank::count_lower(std::span<const float> values) {
  for (const float value : values) {
    const std::uint32_t bits = magnitude_bits(value);
    if (bits >> 16 == bucket_) ++lower_[bits & 0xFFFFu];
  }
}

bool MagnitudeRank::all_finite() const noexcept {
  constexpr std::ptrdiff_t kInfinity = 0x7F80;
  return std::all_of(upper_.begin() + kInfinity, upper_.end(),
                     [](std::uint64_t count) { return count == 0; });
}

MagnitudeRank::Found MagnitudeRank::found() const {
  std::uint64_t rank = rank_;
  for (std::uint32_t low = 0x10000; low-- > 0;) {
    if (rank <= lower_[low])
      return {std::bit_cast<float>(bucket_ << 16 | low), keep_ - rank, lower_[low]};
    rank -= lower_[low];
  }
  return {0, keep_, 0};
}

}  // namespace btm
