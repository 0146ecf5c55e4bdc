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
    return size_a != size_b
               ? size_a < size_b
               : order[static_cast<std::size_t>(a)] < order[static_cast<std::size_t>(b)];
  });
  return indices;
}

std::int64_t drop_longer_than(const LmDataset& dataset, std::int64_t max_positions,
                              std::vector<std::int64_t>& order) {
  return static_cast<std::int64_t>(
      std::erase_if(order, [&](std::int64_t i) { return dataset.num_tokens(i) > max_positions; }));
}

std::vector<std::vector<std::int64_t>> batch_by_size(std::span<const std::int64_t> order,
                                                     const LmDataset& dataset,
                                                     std::int64_t max_tokens,
                                                     std::int64_t max_sentences,
                                                     std::int64_t required_multiple) {
  std::vector<std::vector<std::int64_t>> batches;
  // [begin, end) is a batch that may be closed as it is. [end, i] waits until the number of rows is
  // a multiple again.
  std::size_t begin = 0, end = 0;
  std::int64_t longest = 0, longest_waiting = 0;
  const auto close = [&](std::size_t at) {
    batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin),
                         order.begin() + static_cast<std::ptrdiff_t>(at));
    begin = at;
  };
  const auto too_many_tokens = [max_tokens](std::int64_t rows, std::int64_t columns) {
    return max_tokens > 0 && rows * columns > max_tokens;
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t length = dataset.num_tokens(order[i]);
    longest_waiting = std::max(longest_waiting, length);
    const auto rows = static_cast<std::int64_t>(i + 1 - begin);
    const bool full = (max_sentences > 0 && rows > max_sentences) ||
                      too_many_tokens(rows, std::max(longest, longest_waiting));
    if (full) {
      if (end > begin) close(end);
      // The waiting samples become the next batch. Where this sample makes them too large, they are
      // a batch without it.
      if (i > begin && too_many_tokens(static_cast<std::int64_t>(i + 1 - begin), longest_waiting)) {
        close(i);
        longest_waiting = length;
      }
      longest = 0;
    }
    // fairseq ignores the multiple in the batch that follows a full one.
    if (full || rows < required_multiple || rows % required_multiple == 0) {
      longest = std::max(longest, longest_waiting);
      longest_waiting = 0;
      end = i + 1;
    }
  }
  if (end > begin) close(end);
  if (begin < order.size()) close(order.size());
  return batches;
}

std::vector<std::vector<std::int64_t>> shard_of(
    const std::vector<std::vector<std::int64_t>>& batches, std::int64_t num_shards,
    std::int64_t shard_id) {
  std::vector<std::vector<std::int64_t>> mine;
  for (auto i = static_cast<std::size_t>(shard_id); i < batches.size();
       i += static_cast<std::size_t>(num_shards))
    mine.push_back(batches[i]);
  return mine;
}

bool has_interior_padding(const Batch& batch) {
  const auto is_token = [pad = batch.pad](std::int64_t id) { return id != pad; };
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const auto begin = batch.tokens.begin() + row * batch.columns, end = begin + batch.columns;
    const auto first = std::find(begin, end, batch.pad);
    const auto target = batch.targets.begin() + (first - batch.tokens.begin());
    if (std::any_of(first, end, is_token) || std::any_of(target, target + (end - first), is_token))
      return true;
  }
  return false;
}

Batch collate(const LmDataset& dataset, std::span<const std::int64_t> ids, std::int64_t pad) {
  std::vector<LmSample> samples(ids.size());
  Batch batch;
  batch.pad = pad;
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
