#include "btm/trainer/epoch_batches.h"

#include <algorithm>

#include "btm/data/numpy_random.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// --pad-to-fixed-length and --pad-to-fixed-bsz.
void pad_to(Batch& batch, std::int64_t columns, std::int64_t rows) {
  columns = std::max(columns, batch.columns);
  rows = std::max(rows, batch.rows);
  if (columns == batch.columns && rows == batch.rows) return;
  const auto widened = [&](const std::vector<std::int64_t>& values) {
    std::vector<std::int64_t> out(static_cast<std::size_t>(rows * columns), batch.pad);
    for (std::int64_t row = 0; row < batch.rows; ++row)
      std::copy_n(values.begin() + row * batch.columns, batch.columns, out.begin() + row * columns);
    return out;
  };
  batch.tokens = widened(batch.tokens);
  batch.targets = widened(batch.targets);
  batch.columns = columns;
  batch.rows = rows;
}

BatchList shard(const RankData& rank, std::int64_t num_shards, std::int64_t seed,
                const IteratorState& start) {
  BatchList all = start.shuffle ? shuffled_batches(rank.batches, seed, start.epoch) : rank.batches;
  const std::size_t length = (all.size() + static_cast<std::size_t>(num_shards) - 1) /
                             static_cast<std::size_t>(num_shards);
  BatchList mine = shard_of(all, num_shards, rank.shard);
  mine.resize(length);  // shorter shards end in an empty batch
  return mine;
}

}  // namespace

BatchList shuffled_batches(BatchList batches, std::int64_t seed, std::int64_t epoch) {
  const std::vector<std::int64_t> order =
      NumpyRandom(seed + epoch).permutation(static_cast<std::int64_t>(batches.size()));
  BatchList shuffled;
  shuffled.reserve(batches.size());
  for (const std::int64_t i : order)
    shuffled.push_back(std::move(batches[static_cast<std::size_t>(i)]));
  return shuffled;
}

DeviceBatch prepare_batch(const LmDataset& dataset, const std::vector<std::int64_t>& ids,
                          std::int64_t domain, const CollateOptions& options) {
  Batch batch = collate(dataset, ids, options.pad);
  const std::int64_t sentences = batch.rows;
  pad_to(batch, options.fixed_columns, options.fixed_rows);
  DeviceBatch out = to_device(batch, options.device);
  out.num_sentences = sentences;
  out.domain = domain;
  return out;
}

EpochBatches::EpochBatches(const TrainData& data, const CollateOptions& collate, std::int64_t seed,
                           const IteratorState& start, std::int64_t update_freq,
                           bool skip_remainder_batch, std::int64_t buffer)
    : data_(data),
      collate_(collate),
      start_(start),
      update_freq_(update_freq),
      buffer_(static_cast<std::size_t>(std::max<std::int64_t>(1, buffer))) {
  for (const RankData& rank : data.ranks) {
    shards_.push_back(shard(rank, data.num_shards, seed, start));
    length_ = std::max(length_, static_cast<std::int64_t>(shards_.back().size()));
  }
  if (start.iterations_in_epoch > 0 && start.iterations_in_epoch >= length_)
    throw compat::UsageError(compat::concat(
        "the checkpoint is at batch ", start.iterations_in_epoch, " of an epoch that has ", length_,
        ": the data or the batch size changed (--reset-dataloader starts from the first batch)"));
  if (skip_remainder_batch) length_ -= 1;
  const std::int64_t left = length_ - start.iterations_in_epoch;
  const std::int64_t left_updates =
      skip_remainder_batch ? left / update_freq : (left + update_freq - 1) / update_freq;
  done_updates_ = (start.iterations_in_epoch + update_freq - 1) / update_freq;
  total_updates_ = done_updates_ + left_updates;
  used_ = start.iterations_in_epoch;
  thread_ = std::thread([this] { prepare(); });
}

EpochBatches::~EpochBatches() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

UpdateBatches EpochBatches::prepared(std::int64_t first, std::int64_t count) const {
  UpdateBatches update;
  for (std::int64_t i = first; i < first + count; ++i)
    for (std::size_t rank = 0; rank < shards_.size(); ++rank) {
      const BatchList& batches = shards_[rank];
      if (static_cast<std::size_t>(i) >= batches.size() ||
          batches[static_cast<std::size_t>(i)].empty())
        continue;
      const RankData& source = data_.ranks[rank];
      update.push_back(prepare_batch(*source.dataset, batches[static_cast<std::size_t>(i)],
                                     source.domain, collate_));
    }
  return update;
}

void EpochBatches::prepare() {
  try {
    for (std::int64_t update = done_updates_, at = used_; update < total_updates_;
         ++update, at += update_freq_) {
      UpdateBatches batches = prepared(at, std::min(update_freq_, length_ - at));
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || ready_.size() < buffer_; });
      if (stop_) return;
      ready_.push_back(std::move(batches));
      lock.unlock();
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

UpdateBatches EpochBatches::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || failure_; });
  if (ready_.empty()) std::rethrow_exception(failure_);
  UpdateBatches batches = std::move(ready_.front());
  ready_.pop_front();
  used_ += std::min(update_freq_, length_ - used_);
  ++done_updates_;
  lock.unlock();
  changed_.notify_all();
  return batches;
}

IteratorState EpochBatches::state() const noexcept {
  if (end_of_epoch()) return {start_.epoch + 1, 0, start_.shuffle};
  return {start_.epoch, used_, start_.shuffle};
}

}  // namespace btm
