#include "btm/generate/repetition.h"

#include <algorithm>
#include <cstddef>

namespace btm {

bool ends_in_loop(std::span<const std::int64_t> tokens) {
  constexpr std::size_t kLongest = 32, kTimes = 3, kFewest = 12;
  for (std::size_t period = 1; period <= kLongest; ++period) {
    const std::size_t length = std::max(kTimes * period, kFewest);
    if (length > tokens.size()) return false;
    const auto end = tokens.last(length);
    if (std::ranges::equal(end.subspan(period), end.first(length - period))) return true;
  }
  return false;
}

}  // namespace btm
