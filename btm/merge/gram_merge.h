// Merges whose result is, tensor by tensor, a sum of the models (and the base model) with factors
// that depend only on inner products. N models. v_i is x_i, or x_i - b where there is a base b.
// This file needs no tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// The inner products of v_1 ... v_N.
class Gram {
 public:
  explicit Gram(std::size_t models) : models_(models), products_(models * models) {}
  /// Adds a piece: `models` [N], and `base`, which is empty where there is none.
  void add(std::span<const std::span<const float>> models, std::span<const float> base);
  Gram& operator+=(const Gram& other);

  std::size_t models() const noexcept { return models_; }
  double operator()(std::size_t i, std::size_t j) const {
    return products_[i < j ? i * models_ + j : j * models_ + i];
  }
  double norm(std::size_t i) const;
  /// The cosine of the angle between v_i and v_j, at most 1; 0 for a vector of zeros.
  double cosine(std::size_t i, std::size_t j) const;

 private:
  std::size_t models_;
  std::vector<double> products_;  ///< The upper half.
};

/// The factors [N] of v_i in each merge. That of the base is 1 less their sum. `weights` [N] sum to
/// 1. The formulas are those of mergekit 0.1.5, read in double precision.

/// Two vectors, on the arc between them: sin((1 - t) a) / sin a and sin(t a) / sin a, where a is
/// the angle and t the second weight. 1 - t and t where they are parallel.
std::vector<double> nuslerp_factors(const Gram& gram, std::span<const double> weights);

/// The direction of sum_i w_i v_i / |v_i|, with the length sum_i w_i |v_i|. mergekit then adds a
/// step in the tangent space, which is zero but for rounding: the weighted mean of the unit vectors
/// has no part across its own direction. std::runtime_error where the directions cancel; of two,
/// the weighted sum.
std::vector<double> multislerp_factors(const Gram& gram, std::span<const double> weights);

struct KarcherOptions {
  std::int64_t max_iter = 10;
  double tol = 1e-5;
};
/// The point of the unit sphere with the least mean squared angle to all v_i / |v_i|, by
/// Newton-like steps in the tangent space (Karcher 1977), times the mean of the lengths.
std::vector<double> karcher_factors(const Gram& gram, const KarcherOptions& options);

/// Model Stock (Jang et al., arXiv:2403.19522): t / N each, with t = N c / (1 + (N - 1) c) and c
/// the mean cosine of all pairs.
std::vector<double> model_stock_factors(const Gram& gram);

}  // namespace btm
