// Sums gradients over the ranks while the backward pass still computes those of earlier layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "btm/distributed/communicator.h"

namespace btm {

/// The part of the flat gradients that belongs to one parameter, and the ranks to sum it over.
struct GradientSlot {
  std::int64_t offset = 0, numel = 0;
  Communicator* group = nullptr;
};

class GradientReducer {
 public:
  /// `gradients` is 1-dimensional and stays where it is; `slots` cover it in ascending order (gaps
  /// are zeros). Neighbours of one group share a bucket of up to `bucket_bytes` (0: one bucket per
  /// parameter). Groups must outlive this. `world_size` is the number of all ranks, whatever the
  /// groups.
  GradientReducer(const at::Tensor& gradients, const std::vector<GradientSlot>& slots,
                  std::int64_t bucket_bytes, int world_size);
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// This rank's gradients of slots [first, last) are complete. A bucket's sum starts when all its
  /// gradients are complete and the sums of all later buckets have started. So every rank sums in
  /// the same order, from the last parameter to the first, even if some rank announces nothing.
  void ready(std::size_t first, std::size_t last);
  /// Starts the remaining sums (of a rank without a batch, or a layer that was left out) and waits
  /// for all. RankLost when a rank died.
  void finish();

  /// The factor that turns the gradients after finish() into sums. It is 1, but the world's size in
  /// half precision: as in fairseq, gradients are divided by it first so that sums do not overflow.
  double factor() const noexcept { return half_ ? world_size_ : 1; }
  std::size_t num_buckets() const noexcept { return buckets_.size(); }

 private:
  struct Bucket {
    at::Tensor gradients;
    Communicator* group = nullptr;
    std::size_t slots = 0, waiting = 0;
    std::unique_ptr<Communicator::Pending> pending;
  };
  void start(Bucket& bucket);

  std::vector<Bucket> buckets_;         ///< From the last slot to the first.
  std::vector<std::size_t> bucket_of_;  ///< By slot.
  std::size_t next_ = 0;                ///< The first bucket that has not started.
  int world_size_;
  bool half_;
};

}  // namespace btm
