// Maps values to pixels and places the marks of an axis.
#pragma once

#include <string>
#include <vector>

namespace btm {

class Axis {
 public:
  /// Maps values to pixels. `log`: by the logarithm; `low` must then be above 0. An empty range is
  /// widened, and so is one that only rounding makes.
  Axis(double low, double high, double from_pixel, double to_pixel, bool log = false);

  double pixel(double value) const;
  double low() const noexcept { return low_; }
  double high() const noexcept { return high_; }

  /// At most about `count` round values (1, 2 or 5 times a power of ten) inside the range,
  /// ascending.
  std::vector<double> ticks(int count) const;

  /// The same axis with both ends extended to round values.
  Axis rounded(int count) const;

 private:
  double low_, high_, from_, to_;
  bool log_;
};

}  // namespace btm
