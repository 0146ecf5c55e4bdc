#include "btm/mixing/row_tasks.h"

#include <ATen/Parallel.h>

#include <cstdint>

namespace btm {

void for_each_row(std::size_t count, const std::function<void(std::size_t i)>& work) {
  at::parallel_for(0, static_cast<std::int64_t>(count), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) work(static_cast<std::size_t>(i));
                   });
}

}  // namespace btm
