#include "btm/merge/gram_merge.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace btm {
namespace {

/// sum_ij a_i b_j <u_i, u_j> of the unit vectors u_i = v_i / |v_i|.
double unit_product(const Gram& gram, std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b.size(); ++j) sum += a[i] * b[j] * gram.cosine(i, j);
  return sum;
}

double unit_norm(const Gram& gram, std::span<const double> a) {
  return std::sqrt(std::max(0.0, unit_product(gram, a, a)));
}

void scale(std::vector<double>& values, double factor) {
  for (double& value : values) value *= factor;
}

/// The direction of the mean in karcher_factors(): coefficients of the unit vectors `valid`.
std::vector<double> karcher_direction(const Gram& gram, const std::vector<std::size_t>& valid,
                                      const KarcherOptions& options) {
  std::vector<double> mean(gram.models());
  const double share = 1.0 / static_cast<double>(valid.size());
  for (const std::size_t i : valid) mean[i] = share;
  if (const double norm = unit_norm(gram, mean); norm >= options.tol) {
    scale(mean, 1 / norm);
  } else {
    std::ranges::fill(mean, 0);
    mean[valid.front()] = 1;
  }
  for (std::int64_t step = 0; step < options.max_iter; ++step) {
    std::vector<double> tangent(gram.models());
    for (const std::size_t i : valid) {
      std::vector<double> unit(gram.models());
      unit[i] = 1;
      const double cosine = std::clamp(unit_product(gram, mean, unit), -1.0, 1.0);
      const double angle = std::acos(cosine);
      if (angle < options.tol) continue;
      const double factor = share * angle / std::sin(angle);
      for (std::size_t j = 0; j < mean.size(); ++j)
        tangent[j] += factor * (unit[j] - cosine * mean[j]);
    }
    const double norm = unit_norm(gram, tangent);
    if (norm < options.tol) break;
    for (std::size_t j = 0; j < mean.size(); ++j)
      mean[j] = std::cos(norm) * mean[j] + std::sin(norm) * tangent[j] / norm;
    if (const double length = unit_norm(gram, mean); length > options.tol) scale(mean, 1 / length);
  }
  return mean;
}

}  // namespace

void Gram::add(std::span<const std::span<const float>> models, std::span<const float> base) {
  std::vector<double> values(models_);
  const std::size_t size = models.front().size();
  for (std::size_t e = 0; e < size; ++e) {
    const double origin = base.empty() ? 0 : base[e];
    // mergekit subtracts in fp32.
    for (std::size_t i = 0; i < models_; ++i)
      values[i] = base.empty() ? models[i][e] : static_cast<float>(models[i][e] - origin);
    for (std::size_t i = 0; i < models_; ++i)
      for (std::size_t j = i; j < models_; ++j) products_[i * models_ + j] += values[i] * values[j];
  }
}

Gram& Gram::operator+=(const Gram& other) {
  for (std::size_t i = 0; i < products_.size(); ++i) products_[i] += other.products_[i];
  return *this;
}

double Gram::norm(std::size_t i) const { return std::sqrt((*this)(i, i)); }

double Gram::cosine(std::size_t i, std::size_t j) const {
  if (i == j) return (*this)(i, i) > 0 ? 1 : 0;
  const double norms = norm(i) * norm(j);
  return norms > 0 ? std::clamp((*this)(i, j) / norms, -1.0, 1.0) : 0;
}

std::vector<double> nuslerp_factors(const Gram& gram, std::span<const double> weights) {
  const double cosine = gram.cosine(0, 1), t = weights[1];
  constexpr double kParallel = 1e-16;
  if (1 - cosine * cosine <= kParallel) return {1 - t, t};
  const double angle = std::acos(cosine);
  return {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
}

std::vector<double> multislerp_factors(const Gram& gram, std::span<const double> weights) {
  constexpr double kLeast = 1e-8;
  double length = 0, longest = 0;
  for (std::size_t i = 0; i < gram.models(); ++i) {
    length += weights[i] * gram.norm(i);
    longest = std::max(longest, gram.norm(i));
  }
  std::vector<double> factors(gram.models());
  if (longest == 0) return factors;
  const double mean = unit_norm(gram, weights);
  if (mean < kLeast) {
    if (gram.models() == 2) return {weights.begin(), weights.end()};
    throw std::runtime_error(
        "the weighted directions of the models cancel, expected other weights");
  }
  for (std::size_t i = 0; i < factors.size(); ++i)
    factors[i] = length * weights[i] / ((gram.norm(i) + kLeast) * mean);
  return factors;
}

std::vector<double> karcher_factors(const Gram& gram, const KarcherOptions& options) {
  std::vector<double> factors(gram.models());
  std::vector<std::size_t> valid;
  double length = 0;
  for (std::size_t i = 0; i < gram.models(); ++i) {
    length += gram.norm(i) / static_cast<double>(gram.models());
    if (gram.norm(i) > options.tol) valid.push_back(i);
  }
  if (valid.empty()) return factors;
  factors = karcher_direction(gram, valid, options);
  for (const std::size_t i : valid) factors[i] *= length / gram.norm(i);
  return factors;
}

std::vector<double> model_stock_factors(const Gram& gram) {
  constexpr double kLeast = 1e-6;
  const auto models = static_cast<double>(gram.models());
  double sum = 0;
  for (std::size_t i = 0; i < gram.models(); ++i)
    for (std::size_t j = i + 1; j < gram.models(); ++j)
      sum += std::clamp(gram(i, j) / std::max(kLeast, gram.norm(i) * gram.norm(j)), -1.0, 1.0);
  const double cosine = sum / (models * (models - 1) / 2);
  const double below = 1 + (models - 1) * cosine;
  const double t = std::abs(below) < kLeast ? 0 : models * cosine / below;
  return std::vector<double>(gram.models(), t / models);
}

}  // namespace btm
