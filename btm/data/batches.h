// Batches of samples: how fairseq groups them (batch_by_size) and pads them (collate).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/data/lm_dataset.h"

namespace btm {

/// B samples right-padded to T columns, row-major.
struct Batch {
  std::int64_t rows = 0, columns = 0;         ///< B, T
  std::vector<std::int64_t> tokens, targets;  ///< [B, T]; `pad` where a row has ended.
  std::vector<std::int64_t> ids;              ///< [B] index of each sample in its dataset.
  std::vector<std::int64_t> first_scored;     ///< [B] columns before it are context.
  std::vector<std::int64_t>
      scored_padding;  ///< Places in [B * T] of padding targets that are to be scored, too.
  std::int64_t num_tokens = 0;  ///< Columns that are not padding, as fairseq's ntokens.
};

/// The order of MonolingualDataset.ordered_indices under numpy's seed: by size, equal sizes in the
/// order of RandomState(seed).permutation.
std::vector<std::int64_t> ordered_by_size(const LmDataset& dataset, std::int64_t seed);

/// Drops from `order` the samples of more than `max_positions` tokens. Returns how many.
std::int64_t drop_longer_than(const LmDataset& dataset, std::int64_t max_positions,
                              std::vector<std::int64_t>& order);

/// fairseq's batch_by_size: samples in the given order, cut so that rows * longest <= max_tokens
/// and rows <= max_sentences (either may be 0: no limit). Rows are fewer than `required_multiple`
/// or a multiple of it, also at the end of the data; the batch right after a full one is cut
/// without regard to it where fairseq does so. A sample of more than max_tokens, which fairseq
/// refuses, is a batch by itself.
std::vector<std::vector<std::int64_t>> batch_by_size(std::span<const std::int64_t> order,
                                                     const LmDataset& dataset,
                                                     std::int64_t max_tokens,
                                                     std::int64_t max_sentences,
                                                     std::int64_t required_multiple);

/// Every `num_shards`th batch from `shard_id` on.
std::vector<std::vector<std::int64_t>> shard_of(
    const std::vector<std::vector<std::int64_t>>& batches, std::int64_t num_shards,
    std::int64_t shard_id);

/// Whether a row has a token or a target that is no padding at or after a token that is. The model
/// must then mask padding and leave it out of positions; padding that only ends a row needs
/// neither.
bool has_interior_padding(const Batch& batch, std::int64_t pad);

Batch collate(const LmDataset& dataset, std::span<const std::int64_t> ids, std::int64_t pad);

}  // namespace btm
