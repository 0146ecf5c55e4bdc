#include "btm/data/batches.h"

#include <algorithm>
#include <numeric>

#include "btm/data/numpy_random.h"

namespace btm {

std::vector<std::int64_t> ordered_by_size(const LmDataset& dataset, std::int64_t seed) {
  std::vector<std::int64_t> order = NumpyRandom(seed).permutation(dataset.size());
  // lexsort([permutation, sizes]): index i has the secondary key permutation[i].
  std::vector<std::int64_t> indices(order.size());
  std::iota(indices.begin(), indices.end(), 0);
  std::ranges::sort(indices, [&](std::int64_t a, std::int64_t b) {
    const std::int64_t size_a = dataset.num_tokens(a), size_b = dataset.num_tokens(b);
    return size_a != size_b ? size_a < size_b : order[static_cast<std::size_t>(a)] < order[static_cast<std::size_t>(b)];
  });
  return indices;
}

std::int64_t drop_longer_than(const LmDataset& dataset, std::int64_t max_positions, std::vector<std::int64_t>& order) {
  return static_cast<std::int64_t>(
      std::erase_if(order, [&](std::int64_t i) { return dataset.num_tokens(i) > max_positions; }));
}

std::vector<std::vector<std::int64_t>> batch_by_size(std::span<const std::int64_t> order, const LmDataset& dataset,
                                                     std::int64_t max_tokens, std::int64_t max_sentences,
                                                     std::int64_t required_multiple) {
  std::vector<std::vector<std::int64_t>> batches;
  std::vector<std::int64_t> batch;
  std::int64_t longest = 0;
  const auto full = [&](std::int64_t rows, std::int64_t columns) {
    return (max_sentences > 0 && rows > max_sentences) || (max_tokens > 0 && rows * columns > max_tokens);
  };
  for (const std::int64_t i : order) {
    const std::int64_t length = dataset.num_tokens(i);
    if (!batch.empty() && full(static_cast<std::int64_t>(batch.size()) + 1, std::max(longest, length))) {
      // Cut at a multiple; what is over goes on to the next batch.
      const auto rows = static_cast<std::int64_t>(batch.size());
      const std::int64_t kept = rows < required_multiple ? rows : rows / required_multiple * required_multiple;
      batches.emplace_back(batch.begin(), batch.begin() + kept);
      batch.erase(batch.begin(), batch.begin() + kept);
      longest = 0;
      for (const std::int64_t left : batch) longest = std::max(longest, dataset.num_tokens(left));
    }
    batch.push_back(i);
    longest = std::max(longest, length);
  }
  if (!batch.empty()) batches.push_back(std::move(batch));
  return batches;
}

std::vector<std::vector<std::int64_t>> shard_of(const std::vector<std::vector<std::int64_t>>& batches, std::int64_t num_shards,
                                                std::int64_t shard_id) {
  std::vector<std::vector<std::int64_t>> mine;
  for (auto i = static_cast<std::size_t>(shard_id); i < batches.size(); i += static_cast<std::size_t>(num_shards))
    mine.push_back(batches[i]);
  return mine;
}

Batch collate(const LmDataset& dataset, std::span<const std::int64_t> ids, std::int64_t pad) {
  std::vector<LmSample> samples(ids.size());
  Batch batch;
  batch.rows = static_cast<std::int64_t>(ids.size());
  batch.ids.assign(ids.begin(), ids.end());
  for (std::size_t row = 0; row < ids.size(); ++row) {
    dataset.read(ids[row], samples[row]);
    const auto length = static_cast<std::int64_t>(samples[row].source.size());
    batch.columns = std::max(batch.columns, length);
    batch.num_tokens += length;
    batch.first_scored.push_back(samples[row].first_scored);
  }
  batch.tokens.assign(static_cast<std::size_t>(batch.rows * batch.columns), pad);
  batch.targets = batch.tokens;
  for (std::size_t row = 0; row < ids.size(); ++row) {
    const auto at = static_cast<std::ptrdiff_t>(row) * batch.columns;
    std::ranges::copy(samples[row].source, batch.tokens.begin() + at);
    std::ranges::copy(samples[row].target, batch.targets.begin() + at);
  }
  return batch;
}

}  // namespace btm
