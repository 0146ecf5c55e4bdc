// The order in which an epoch's batches are trained on: fairseq's EpochBatchIterator and
// GroupedIterator.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "btm/trainer/forward_backward.h"
#include "btm/trainer/train_data.h"

namespace btm {

/// The position in an epoch, as a checkpoint keeps it (extra_state.train_iterator).
struct IteratorState {
  std::int64_t epoch = 1;
  std::int64_t iterations_in_epoch = 0;  ///< Batches of one rank that were used.
  bool shuffle = true;
};

/// The order in which a rank's batches come in an epoch, before sharding: shuffled by numpy's
/// generator seeded with seed + epoch.
BatchList shuffled_batches(BatchList batches, std::int64_t seed, std::int64_t epoch);

/// How to collate: the padding id, fixed sizes or 0, and the device.
struct CollateOptions {
  std::int64_t pad = 1, fixed_columns = 0, fixed_rows = 0;
  at::Device device = at::kCPU;
};

/// A batch of `ids`, padded as the options say, on the device.
DeviceBatch prepare_batch(const LmDataset& dataset, const std::vector<std::int64_t>& ids,
                          std::int64_t domain, const CollateOptions& options);

/// The micro-batches of one update. A rank whose shard is exhausted has none.
using UpdateBatches = std::vector<DeviceBatch>;

class EpochBatches {
 public:
  /// A thread prepares `buffer` updates ahead.
  EpochBatches(const TrainData& data, const CollateOptions& collate, std::int64_t seed,
               const IteratorState& start, std::int64_t update_freq, bool skip_remainder_batch,
               std::int64_t buffer);
  ~EpochBatches();
  EpochBatches(const EpochBatches&) = delete;
  EpochBatches& operator=(const EpochBatches&) = delete;

  std::int64_t size() const noexcept { return total_updates_; }  ///< Updates of the epoch.
  std::int64_t done() const noexcept { return done_updates_; }
  bool has_next() const noexcept { return done_updates_ < total_updates_; }
  UpdateBatches next();
  /// The state after the updates taken so far. At the end of the epoch it is the start of the next
  /// one.
  IteratorState state() const noexcept;
  bool end_of_epoch() const noexcept { return !has_next(); }

 private:
  void prepare();
  UpdateBatches prepared(std::int64_t first, std::int64_t count) const;

  const TrainData& data_;
  CollateOptions collate_;
  std::vector<BatchList> shards_;  ///< per rank
  IteratorState start_;
  std::int64_t update_freq_, length_ = 0, total_updates_ = 0, done_updates_ = 0, used_ = 0;

  std::size_t buffer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<UpdateBatches> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  ///< last: it uses what is above
};

}  // namespace btm
