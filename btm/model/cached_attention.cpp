#include "btm/model/cached_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "btm/model/row_softmax.h"
#include "btm/model/wide.h"

namespace btm {
namespace {

constexpr std::int64_t kBlock = KeyValuePool::kBlock;
static_assert(kBlock == kWideLanes, "a block's keys fill a register at every place of the head");
/// New tokens of a row that go over its blocks together, and those of them in registers at once.
constexpr std::int64_t kQueries = 8, kTile = 2;

/// scores[n] = q_n . keys of all tokens of a block: keys [size][kBlock]. Each query has four sums,
/// so that a result does not depend on the others.
template <std::int64_t N>
BTM_WIDE_INLINE void score_tile(const float* queries, const float* keys, std::int64_t size,
                                float* scores, std::int64_t stride) {
  constexpr std::int64_t kSums = 4;
  Wide sums[N][kSums] = {}, key;
  std::int64_t i = 0;
  for (; i + kSums <= size; i += kSums)
    for (std::int64_t k = 0; k < kSums; ++k) {
      read_wide(key, keys + (i + k) * kBlock);
      for (std::int64_t n = 0; n < N; ++n) sums[n][k] += queries[n * size + i + k] * key;
    }
  for (; i < size; ++i) {
    read_wide(key, keys + i * kBlock);
    for (std::int64_t n = 0; n < N; ++n) sums[n][0] += queries[n * size + i] * key;
  }
  for (std::int64_t n = 0; n < N; ++n)
    write_wide(scores + n * stride, (sums[n][0] + sums[n][1]) + (sums[n][2] + sums[n][3]));
}

BTM_WIDE_CLONES
void score_block(const float* queries, std::int64_t count, const float* keys, std::int64_t size,
                 float* scores, std::int64_t stride) {
  std::int64_t n = 0;
  for (; n + kTile <= count; n += kTile)
    score_tile<kTile>(queries + n * size, keys, size, scores + n * stride, stride);
  for (; n < count; ++n) score_tile<1>(queries + n * size, keys, size, scores + n * stride, stride);
}

/// out[n] += weights[n][t] values[t] over `count` tokens of a block, V registers of a head.
template <std::int64_t N, std::int64_t V>
BTM_WIDE_INLINE void add_tile(const float* weights, std::int64_t stride, const float* values,
                              std::int64_t count, std::int64_t size, float* out) {
  Wide sums[N][V], value;
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t v = 0; v < V; ++v) read_wide(sums[n][v], out + n * size + v * kWideLanes);
  for (std::int64_t t = 0; t < count; ++t)
    for (std::int64_t v = 0; v < V; ++v) {
      read_wide(value, values + t * size + v * kWideLanes);
      for (std::int64_t n = 0; n < N; ++n) sums[n][v] += weights[n * stride + t] * value;
    }
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t v = 0; v < V; ++v) write_wide(out + n * size + v * kWideLanes, sums[n][v]);
}

template <std::int64_t N>
BTM_WIDE_INLINE void add_rows(const float* weights, std::int64_t stride, const float* values,
                              std::int64_t count, std::int64_t size, float* out) {
  constexpr std::int64_t kRegisters = 4;
  std::int64_t i = 0;
  for (; i + kRegisters * kWideLanes <= size; i += kRegisters * kWideLanes)
    add_tile<N, kRegisters>(weights, stride, values + i, count, size, out + i);
  for (; i + kWideLanes <= size; i += kWideLanes)
    add_tile<N, 1>(weights, stride, values + i, count, size, out + i);
  for (; i < size; ++i)
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t t = 0; t < count; ++t)
        out[n * size + i] += weights[n * stride + t] * values[t * size + i];
}

/// The same for queries of which each sees one token more than the one before it: `first` counts
/// the block's tokens that the first one sees.
BTM_WIDE_CLONES
void add_block(const float* weights, std::int64_t stride, std::int64_t queries, const float* values,
               std::int64_t first, std::int64_t size, float* out) {
  const auto seen = [&](std::int64_t n) { return std::clamp<std::int64_t>(first + n, 0, kBlock); };
  std::int64_t n = 0;
  for (; n + kTile <= queries; n += kTile) {
    const float* const of = weights + n * stride;
    const std::int64_t both = seen(n), all = seen(n + 1);
    add_rows<kTile>(of, stride, values, both, size, out + n * size);
    add_rows<1>(of + stride + both, stride, values + both * size, all - both, size,
                out + (n + 1) * size);
  }
  for (; n < queries; ++n)
    add_rows<1>(weights + n * stride, stride, values, seen(n), size, out + n * size);
}

/// Consecutive new tokens of one row.
struct Group {
  std::int64_t first = 0, count = 0;  ///< Of the step's tokens.
};

std::vector<Group> groups_of(std::span<const CachedToken> tokens) {
  std::vector<Group> groups;
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    const bool goes_on = !groups.empty() && groups.back().count < kQueries &&
                         tokens[n].row == tokens[n - 1].row &&
                         tokens[n].place == tokens[n - 1].place + 1;
    if (!goes_on) groups.push_back({static_cast<std::int64_t>(n), 0});
    ++groups.back().count;
  }
  return groups;
}

/// What a thread uses again for every head and group.
struct Scratch {
  std::vector<float> queries, scores, out;
};

/// One head of a group. `queries` and `out` are those of its first token, `width` floats apart.
void attend_head(const KeyValuePool& pool, std::int64_t layer, std::int64_t head,
                 const CachedToken& first, std::int64_t count, const float* queries, float* out,
                 std::int64_t width, Scratch& scratch) {
  const std::int64_t size = pool.shape().head_size, length = first.place + count;
  const std::span<const KeyValuePool::Block> blocks = pool.blocks(first.row);
  const std::int64_t used = (length + kBlock - 1) / kBlock, stride = used * kBlock;
  scratch.queries.resize(static_cast<std::size_t>(count * size));
  scratch.scores.resize(static_cast<std::size_t>(count * stride));
  scratch.out.assign(static_cast<std::size_t>(count * size), 0.0F);
  const float divisor = std::sqrt(static_cast<float>(size));
  for (std::int64_t n = 0; n < count; ++n)
    for (std::int64_t i = 0; i < size; ++i)
      scratch.queries[static_cast<std::size_t>(n * size + i)] = queries[n * width + i] / divisor;
  float* const scores = scratch.scores.data();
  for (std::int64_t b = 0; b < used; ++b)
    score_block(scratch.queries.data(), count,
                pool.keys(blocks[static_cast<std::size_t>(b)], layer, head), size,
                scores + b * kBlock, stride);
  for (std::int64_t n = 0; n < count; ++n) {
    const std::int64_t seen = first.place + n + 1;
    LogSumExp sum;
    sum.add(scores + n * stride, seen);
    exp_of_difference(scores + n * stride, seen, static_cast<float>(sum.value()), 1);
  }
  for (std::int64_t b = 0; b < used; ++b)
    add_block(scores + b * kBlock, stride, count,
              pool.values(blocks[static_cast<std::size_t>(b)], layer, head),
              first.place + 1 - b * kBlock, size, scratch.out.data());
  for (std::int64_t n = 0; n < count; ++n)
    std::copy_n(scratch.out.data() + n * size, size, out + n * width);
}

}  // namespace

void store_keys_and_values(KeyValuePool& pool, std::int64_t layer,
                           std::span<const CachedToken> tokens, const float* keys,
                           const float* values) {
  const auto [layers, heads, size, capacity] = pool.shape();
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    const std::size_t at = n * static_cast<std::size_t>(heads * size);
    float* const key = pool.key(tokens[n].row, layer, tokens[n].place);
    float* const value = pool.value(tokens[n].row, layer, tokens[n].place);
    for (std::int64_t head = 0; head < heads; ++head) {
      const float* const from = keys + at + head * size;
      float* const to = key + head * pool.head_stride();
      for (std::int64_t i = 0; i < size; ++i) to[i * kBlock] = from[i];
      std::copy_n(values + at + head * size, size, value + head * pool.head_stride());
    }
  }
}

void attend(const KeyValuePool& pool, std::int64_t layer, std::span<const CachedToken> tokens,
            const float* queries, float* out) {
  const std::int64_t heads = pool.shape().heads, size = pool.shape().head_size;
  const std::vector<Group> groups = groups_of(tokens);
  const auto count = static_cast<std::int64_t>(groups.size());
  // Neighbours in this order read the same head of the same row.
  at::parallel_for(0, heads * count, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    for (std::int64_t task = begin; task < end; ++task) {
      const Group& group = groups[static_cast<std::size_t>(task % count)];
      const std::int64_t head = task / count, at = (group.first * heads + head) * size;
      attend_head(pool, layer, head, tokens[static_cast<std::size_t>(group.first)], group.count,
                  queries + at, out + at, heads * size, scratch);
    }
  });
}

}  // namespace btm
