// numpy's default argsort. It is not stable, and fairseq's order of samples of equal size depends
// on it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// numpy.argsort(values): introsort, with insertion sort for partitions of at most 16 (numpy below
/// 1.25, or without AVX-512).
std::vector<std::int64_t> numpy_argsort(std::span<const std::int64_t> values);

}  // namespace btm
