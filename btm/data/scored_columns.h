// Which targets of a batch count.
#pragma once

#include <cstdint>
#include <vector>

#include "btm/data/batches.h"

namespace btm {

/// The columns of a row whose targets count, ascending. Columns before first_scored and padding do
/// not count. All code that scores, mixes or sums targets uses this function.
inline std::vector<std::int64_t> scored_columns(const Batch& batch, std::int64_t row,
                                                std::int64_t pad) {
  std::vector<std::int64_t> columns;
  for (std::int64_t column = batch.first_scored[static_cast<std::size_t>(row)];
       column < batch.columns; ++column)
    if (batch.targets[static_cast<std::size_t>(row * batch.columns + column)] != pad)
      columns.push_back(column);
  return columns;
}

}  // namespace btm
