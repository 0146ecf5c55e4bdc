#include "btm/data/numpy_random.h"

#include <array>
#include <numeric>
#include <sstream>
#include <utility>

namespace btm {
namespace {

constexpr std::size_t kStateSize = 624;

/// MT19937's init_by_array (Matsumoto and Nishimura 2002), which numpy uses for a seed that is a
/// list.
std::array<std::uint32_t, kStateSize> init_by_array(std::span<const std::int64_t> key) {
  std::array<std::uint32_t, kStateSize> state{};
  state[0] = 19650218U;
  for (std::size_t i = 1; i < kStateSize; ++i)
    state[i] = 1812433253U * (state[i - 1] ^ (state[i - 1] >> 30)) + static_cast<std::uint32_t>(i);
  std::size_t i = 1, j = 0;
  const auto advance = [&] {
    if (++i >= kStateSize) {
      state[0] = state[kStateSize - 1];
      i = 1;
    }
  };
  for (std::size_t k = std::max(kStateSize, key.size()); k > 0; --k) {
    state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1664525U)) +
               static_cast<std::uint32_t>(key[j]) + static_cast<std::uint32_t>(j);
    advance();
    if (++j >= key.size()) j = 0;
  }
  for (std::size_t k = kStateSize - 1; k > 0; --k) {
    state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1566083941U)) -
               static_cast<std::uint32_t>(i);
    advance();
  }
  state[0] = 0x80000000U;
  return state;
}

}  // namespace

NumpyRandom::NumpyRandom(std::int64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

NumpyRandom::NumpyRandom(std::span<const std::int64_t> seeds) {
  // The standard gives access to the engine's state only as text.
  std::ostringstream text;
  for (const std::uint32_t word : init_by_array(seeds)) text << word << ' ';
  text << kStateSize;
  std::istringstream(text.str()) >> engine_;
}

std::uint64_t NumpyRandom::interval(std::uint64_t highest) {
  if (highest == 0) return 0;
  std::uint64_t mask = highest;
  for (int shift = 1; shift <= 32; shift *= 2) mask |= mask >> shift;
  while (true) {
    std::uint64_t value = next();
    if (highest > 0xFFFFFFFFU) value = (value << 32) | next();
    value &= mask;
    if (value <= highest) return value;
  }
}

std::vector<std::int64_t> NumpyRandom::permutation(std::int64_t n) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[interval(i)]);
  return order;
}

std::vector<std::int64_t> NumpyRandom::choice(std::int64_t n, std::int64_t count) {
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(count));
  for (std::int64_t& value : chosen)
    value = static_cast<std::int64_t>(interval(static_cast<std::uint64_t>(n) - 1));
  return chosen;
}

}  // namespace btm
