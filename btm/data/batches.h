// Batches of samples: how fairseq groups them (batch_by_size) and pads them (collate).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "btm/data/lm_dataset.h"

namespace btm {

/// B samples right-padded to T columns, row-major. Place [row * T + column] holds a token and its
/// target, the token that follows it.
struct Batch {
  std::int64_t pad = kNoPadding;              ///< The id that fills a row that has ended.
  std::int64_t rows = 0, columns = 0;         ///< B, T
  std::vector<std::int64_t> tokens, targets;  ///< [B, T]; `pad` where a row has ended.
  std::vector<std::int64_t> ids;              ///< [B] index of each sample in its dataset.
  std::vector<std::int64_t> first_scored;     ///< [B] columns before it are context.
  std::vector<std::int64_t>
      scored_padding;           ///< Places in [B * T] of targets that are padding but count.
  std::int64_t num_tokens = 0;  ///< Columns that are not padding, as fairseq's ntokens.

  static constexpr std::int64_t kNoPadding = -1;

  std::size_t size() const noexcept { return targets.size(); }  ///< B * T
  std::size_t place(std::int64_t row, std::int64_t column) const noexcept {
    return static_cast<std::size_t>(row * columns + column);
  }
  std::int64_t first_scored_of(std::int64_t row) const noexcept {
    return first_scored[static_cast<std::size_t>(row)];
  }
  std::int64_t id_of(std::int64_t row) const noexcept { return ids[static_cast<std::size_t>(row)]; }

  /// Calls `visit(column, place)` for the row's targets that count, in order: none before
  /// first_scored, and none of padding, wherever it is. All that scores, mixes or adds up targets
  /// asks here.
  template <class Visit>
  void for_each_scored_of(std::int64_t row, Visit&& visit) const {
    for (std::int64_t column = first_scored_of(row); column < columns; ++column)
      if (const std::size_t at = place(row, column); targets[at] != pad) visit(column, at);
  }
  /// Calls `visit(row, place)` for the targets of all rows that count.
  template <class Visit>
  void for_each_scored(Visit&& visit) const {
    for (std::int64_t row = 0; row < rows; ++row)
      for_each_scored_of(row, [&](std::int64_t, std::size_t at) { visit(row, at); });
  }
  std::int64_t num_scored_of(std::int64_t row) const {
    std::int64_t count = 0;
    for_each_scored_of(row, [&](std::int64_t, std::size_t) { ++count; });
    return count;
  }
};

/// The order of MonolingualDataset.ordered_indices under numpy's seed: by size, and samples of
/// equal size in the order of RandomState(seed).permutation.
std::vector<std::int64_t> ordered_by_size(const LmDataset& dataset, std::int64_t seed);

/// Drops the samples of more than `max_positions` tokens from `order`. Returns their number.
std::int64_t drop_longer_than(const LmDataset& dataset, std::int64_t max_positions,
                              std::vector<std::int64_t>& order);

/// fairseq's batch_by_size: samples in the given order, cut so that rows * longest <= max_tokens
/// and rows <= max_sentences (either may be 0: no limit). The number of rows is below
/// `required_multiple` or a multiple of it, also at the end of the data. As in fairseq, the batch
/// right after a full one may break this rule. A sample of more than max_tokens is a batch by
/// itself; fairseq refuses it.
std::vector<std::vector<std::int64_t>> batch_by_size(std::span<const std::int64_t> order,
                                                     const LmDataset& dataset,
                                                     std::int64_t max_tokens,
                                                     std::int64_t max_sentences,
                                                     std::int64_t required_multiple);

/// Every `num_shards`th batch from `shard_id` on.
std::vector<std::vector<std::int64_t>> shard_of(
    const std::vector<std::vector<std::int64_t>>& batches, std::int64_t num_shards,
    std::int64_t shard_id);

/// Whether a row has padding before its end. The model must then mask padding and leave it out of
/// positions. Padding at a row's end needs neither.
bool has_interior_padding(const Batch& batch);

Batch collate(const LmDataset& dataset, std::span<const std::int64_t> ids, std::int64_t pad);

}  // namespace btm
