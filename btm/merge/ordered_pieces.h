// Pieces made by several threads and taken in order by one.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace btm {

/// Calls make(p, buffer) for p in [0, pieces) on `threads` threads and take(buffer) in order of p
/// on the calling one. At most two buffers per thread wait. What `make` or `take` throws ends the
/// work and is thrown here.
void make_in_order(std::size_t pieces, int threads,
                   const std::function<void(std::size_t, std::vector<std::byte>&)>& make,
                   const std::function<void(std::span<const std::byte>)>& take);

/// Calls work(p, thread) for p in [0, pieces), `thread` being in [0, threads).
void for_each_piece(std::size_t pieces, int threads,
                    const std::function<void(std::size_t, int)>& work);

}  // namespace btm
