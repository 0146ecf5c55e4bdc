// Pieces that several threads make and one thread takes in order.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace btm {

/// Calls make(p, buffer) for p in [0, pieces) on `threads` threads and take(buffer) in order of p
/// on the calling one. At most two buffers per thread exist. An exception of `make` or `take` ends
/// the work and is rethrown here.
void make_in_order(std::size_t pieces, int threads,
                   const std::function<void(std::size_t, std::vector<std::byte>&)>& make,
                   const std::function<void(std::span<const std::byte>)>& take);

/// Calls work(p, thread) for p in [0, pieces), with `thread` in [0, threads).
void for_each_piece(std::size_t pieces, int threads,
                    const std::function<void(std::size_t, int)>& work);

}  // namespace btm
