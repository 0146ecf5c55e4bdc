// Samples of a language model: what fairseq's TokenBlockDataset, MonolingualDataset and
// LMContextWindowDataset yield. No torch in btm/data.
#pragma once

#include <cstdint>
#include <vector>

namespace btm {

/// One sample. Target column t is the token that follows source column t; columns before
/// `first_scored` are context.
struct LmSample {
  std::vector<std::int64_t> source, target;  ///< Equal lengths.
  std::int64_t first_scored = 0;
};

class LmDataset {
 public:
  virtual ~LmDataset() = default;
  virtual std::int64_t size() const noexcept = 0;
  /// Columns of sample `i`, without reading it: what batching counts.
  virtual std::int64_t num_tokens(std::int64_t i) const noexcept = 0;
  virtual void read(std::int64_t i, LmSample& sample) const = 0;
};

}  // namespace btm
