// The soft-max of rows of fp32 logits on the CPU in as few passes over memory as it takes: one for
// its denominator, one to write it. exp is a polynomial (Cephes' expf, relative error below 2e-7)
// that the compiler vectorises.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace btm {

/// log of a sum of exponentials, kept so that more terms can join. NaN and +inf terms make it NaN.
class LogSumExp {
 public:
  /// Adds exp(x[0]) + ... + exp(x[count - 1]).
  void add(const float* x, std::int64_t count);
  double value() const { return max_ + std::log(sum_); }  ///< -inf before any term

 private:
  float max_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;  ///< of exp(x - max_)
};

/// x[i] = exp(x[i] - shift) * scale. x[i] must not be above shift by more than rounding.
void exp_of_difference(float* x, std::int64_t count, float shift, float scale);

}  // namespace btm
