#include "btm/data/numpy_sort.h"

#include <bit>
#include <numeric>
#include <utility>

namespace btm {
namespace {

constexpr std::ptrdiff_t kSmall = 15;  ///< numpy's SMALL_QUICKSORT

class Sorter {
 public:
  Sorter(std::span<const std::int64_t> values, std::vector<std::int64_t>& order)
      : values_(values), order_(order) {}

  void sort(std::ptrdiff_t low, std::ptrdiff_t high, int depth) {
    while (high - low > kSmall) {
      if (depth-- < 0) return heap_sort(low, high);
      const std::ptrdiff_t middle = partition(low, high);
      // Sorting the smaller part first keeps the recursion logarithmic.
      if (middle - low < high - middle) {
        sort(low, middle - 1, depth);
        low = middle + 1;
      } else {
        sort(middle + 1, high, depth);
        high = middle - 1;
      }
    }
    insertion_sort(low, high);
  }

 private:
  std::int64_t& at(std::ptrdiff_t place) { return order_[static_cast<std::size_t>(place)]; }
  std::int64_t value(std::ptrdiff_t place) { return values_[static_cast<std::size_t>(at(place))]; }

  std::ptrdiff_t partition(std::ptrdiff_t low, std::ptrdiff_t high) {
    const std::ptrdiff_t middle = low + (high - low) / 2;
    if (value(middle) < value(low)) std::swap(at(middle), at(low));
    if (value(high) < value(middle)) std::swap(at(high), at(middle));
    if (value(middle) < value(low)) std::swap(at(middle), at(low));
    const std::int64_t pivot = value(middle);
    std::ptrdiff_t left = low, right = high - 1;
    std::swap(at(middle), at(right));
    while (true) {
      do ++left;
      while (value(left) < pivot);
      do --right;
      while (pivot < value(right));
      if (left >= right) break;
      std::swap(at(left), at(right));
    }
    std::swap(at(left), at(high - 1));
    return left;
  }

  void insertion_sort(std::ptrdiff_t low, std::ptrdiff_t high) {
    for (std::ptrdiff_t i = low + 1; i <= high; ++i) {
      const std::int64_t moved = at(i);
      std::ptrdiff_t j = i;
      for (; j > low && values_[static_cast<std::size_t>(moved)] < value(j - 1); --j)
        at(j) = at(j - 1);
      at(j) = moved;
    }
  }

  void heap_sort(std::ptrdiff_t low, std::ptrdiff_t high) {
    const std::ptrdiff_t base = low - 1;  // heaps count from 1
    std::ptrdiff_t count = high - low + 1;
    const auto sift = [&](std::ptrdiff_t i, std::int64_t moved) {
      for (std::ptrdiff_t j = 2 * i; j <= count; j *= 2) {
        if (j < count && value(base + j) < value(base + j + 1)) ++j;
        if (values_[static_cast<std::size_t>(moved)] >= value(base + j)) break;
        at(base + i) = at(base + j);
        i = j;
      }
      at(base + i) = moved;
    };
    for (std::ptrdiff_t i = count / 2; i > 0; --i) sift(i, at(base + i));
    while (count > 1) {
      const std::int64_t moved = at(base + count);
      at(base + count) = at(base + 1);
      --count;
      sift(1, moved);
    }
  }

  std::span<const std::int64_t> values_;
  std::vector<std::int64_t>& order_;
};

}  // namespace

std::vector<std::int64_t> numpy_argsort(std::span<const std::int64_t> values) {
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  if (values.size() > 1)
    Sorter(values, order)
        .sort(0, static_cast<std::ptrdiff_t>(values.size()) - 1,
              2 * (static_cast<int>(std::bit_width(values.size())) - 1));
  return order;
}

}  // namespace btm
