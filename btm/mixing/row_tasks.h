// Work on rows that do not depend on each other.
#pragma once

#include <cstddef>
#include <functional>

namespace btm {

/// Calls work(i) for each i below `count`, on all threads. Rethrows what one of them throws.
void for_each_row(std::size_t count, const std::function<void(std::size_t i)>& work);

}  // namespace btm
