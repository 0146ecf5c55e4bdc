// The softmax of rows of fp32 logits on the CPU in two passes over memory: one computes the
// denominator, one writes the result. exp is a polynomial (Cephes' expf, relative error below 2e-7)
// that the compiler vectorises.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace btm {

/// The log of a growing sum of exponentials. A term of NaN or +inf makes it NaN.
class LogSumExp {
 public:
  /// Adds exp(x[0]) + ... + exp(x[count - 1]).
  void add(const float* x, std::int64_t count);
  double value() const { return max_ + std::log(sum_); }  ///< -inf before any term

 private:
  float max_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;  ///< of exp(x - max_)
};

/// The largest of x, NaN left out; -inf where there is nothing else.
float largest_of(const float* x, std::int64_t count);

/// x[i] = exp(x[i] - shift) * scale. x[i] must not exceed shift by more than rounding.
void exp_of_difference(float* x, std::int64_t count, float shift, float scale);

}  // namespace btm
