// fairseq's LMContextWindowDataset: rows preceded by the tokens that came before them.
#pragma once

#include <cstdint>
#include <vector>

#include "btm/data/batches.h"

namespace btm {

/// Batches must come in the order of the data set: each row gets up to `context_window` source
/// tokens of the rows before it, which are not scored, and the batch grows by that many columns.
class ContextWindow {
 public:
  ContextWindow(std::int64_t context_window, std::int64_t tokens_per_sample);
  void extend(Batch& batch);

 private:
  std::int64_t context_window_, tokens_per_sample_;
  std::vector<std::int64_t> previous_;
};

}  // namespace btm
