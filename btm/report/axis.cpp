#include "btm/report/axis.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace btm {
namespace {

/// The narrowest range in parts of its values. In narrower ones doubles cannot tell marks apart.
constexpr double kNarrowest = 1e-12;

/// The smallest of 1, 2, 5, 10, ... times a power of ten that cuts `range` into `count` steps or
/// fewer.
double round_step(double range, int count) {
  const double raw = range / std::max(1, count);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

}  // namespace

Axis::Axis(double low, double high, double from_pixel, double to_pixel, bool log)
    : low_(low), high_(high), from_(from_pixel), to_(to_pixel), log_(log) {
  if (high_ - low_ > kNarrowest * std::max(std::abs(low_), std::abs(high_))) return;
  if (log_) {
    low_ /= 1.5;
    high_ = low_ * 2.25;
  } else {
    const double margin = low_ == 0 ? 1 : std::abs(low_) * 0.5;
    low_ -= margin;
    high_ = low_ + 2 * margin;
  }
}

double Axis::pixel(double value) const {
  const double share = log_
                           ? (std::log(value) - std::log(low_)) / (std::log(high_) - std::log(low_))
                           : (value - low_) / (high_ - low_);
  return from_ + share * (to_ - from_);
}

std::vector<double> Axis::ticks(int count) const {
  std::vector<double> marks;
  const double slack = 1e-9;
  if (log_) {
    // Full decades if there are enough of them, otherwise 1-2-5, otherwise evenly spaced values.
    const int first = static_cast<int>(std::floor(std::log10(low_))),
              last = static_cast<int>(std::ceil(std::log10(high_)));
    for (const int per_decade : {1, 3}) {
      static constexpr std::array kFactors{1.0, 2.0, 5.0};
      marks.clear();
      for (int decade = first; decade <= last; ++decade)
        for (int i = 0; i < per_decade; ++i) {
          const double value = kFactors[static_cast<std::size_t>(i)] * std::pow(10.0, decade);
          if (value >= low_ * (1 - slack) && value <= high_ * (1 + slack)) marks.push_back(value);
        }
      if (marks.size() >= 3) break;
    }
    if (marks.size() >= 3) {
      const std::size_t every = 1 + marks.size() / static_cast<std::size_t>(std::max(2, count) + 1);
      std::vector<double> kept;
      for (std::size_t i = 0; i < marks.size(); i += every) kept.push_back(marks[i]);
      return kept;
    }
    marks.clear();
  }
  const double step = round_step(high_ - low_, count);
  for (double k = std::ceil(low_ / step - slack); k * step <= high_ + slack * step; ++k)
    marks.push_back(k * step + 0.0);  // never -0
  return marks;
}

Axis Axis::rounded(int count) const {
  if (log_) return *this;
  const double step = round_step(high_ - low_, count);
  return Axis(std::floor(low_ / step + 1e-9) * step, std::ceil(high_ / step - 1e-9) * step, from_,
              to_, false);
}

}  // namespace btm
