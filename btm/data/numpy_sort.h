// numpy's default argsort. It is not stable, and fairseq's order of samples of equal size rests on
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace btm {

/// numpy.argsort(values): introsort with partitions of 16 and fewer left to insertion sort (numpy
/// below 1.25, or without AVX-512).
std::vector<std::int64_t> numpy_argsort(std::span<const std::int64_t> values);

}  // namespace btm
