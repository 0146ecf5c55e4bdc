#include "btm/model/cached_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "btm/model/clones.h"
#include "btm/model/row_softmax.h"

namespace btm {
namespace {

constexpr std::int64_t kBlock = KeyValuePool::kBlock;
constexpr std::int64_t kLanes = 8;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

/// scores[t] = q . keys[t] for `count` keys of a block.
BTM_CLONES("arch=x86-64-v4", "arch=x86-64-v3")
void score_block(const float* q, const float* keys, std::int64_t count, std::int64_t size,
                 float* scores) {
  for (std::int64_t t = 0; t < count; ++t) {
    const float* const key = keys + t * size;
    Lanes even{}, odd{}, a, b;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
      std::memcpy(&a, q + i, sizeof(a));
      std::memcpy(&b, key + i, sizeof(b));
      even += a * b;
      std::memcpy(&a, q + i + kLanes, sizeof(a));
      std::memcpy(&b, key + i + kLanes, sizeof(b));
      odd += a * b;
    }
    even += odd;
    float sum = 0;
    for (int lane = 0; lane < kLanes; ++lane) sum += even[lane];
    for (; i < size; ++i) sum += q[i] * key[i];
    scores[t] = sum;
  }
}

/// out += weights[t] values[t] for `count` values of a block.
BTM_CLONES("arch=x86-64-v4", "arch=x86-64-v3")
void add_block(const float* weights, const float* values, std::int64_t count, std::int64_t size,
               float* out) {
  for (std::int64_t t = 0; t < count; ++t) {
    const float weight = weights[t];
    const float* const value = values + t * size;
    for (std::int64_t i = 0; i < size; ++i) out[i] += weight * value[i];
  }
}

/// What a thread uses again for every head and token.
struct Scratch {
  std::vector<float> query, scores;
};

/// One head of one token.
void attend_head(const KeyValuePool& pool, std::int64_t layer, std::int64_t head,
                 const CachedToken& token, const float* query, Scratch& scratch, float* out) {
  const std::int64_t size = pool.shape().head_size, length = token.place + 1;
  auto& [scaled, scores] = scratch;
  scores.resize(static_cast<std::size_t>(length));
  scaled.assign(query, query + size);
  const float divisor = std::sqrt(static_cast<float>(size));
  for (float& value : scaled) value /= divisor;
  for (std::int64_t from = 0; from < length; from += kBlock)
    score_block(scaled.data(), pool.keys(token.row, layer, head, from / kBlock),
                std::min(kBlock, length - from), size, scores.data() + from);
  LogSumExp sum;
  sum.add(scores.data(), length);
  exp_of_difference(scores.data(), length, static_cast<float>(sum.value()), 1);
  std::fill_n(out, size, 0.0F);
  for (std::int64_t from = 0; from < length; from += kBlock)
    add_block(scores.data() + from, pool.values(token.row, layer, head, from / kBlock),
              std::min(kBlock, length - from), size, out);
}

}  // namespace

void store_keys_and_values(KeyValuePool& pool, std::int64_t layer,
                           std::span<const CachedToken> tokens, const float* keys,
                           const float* values) {
  const auto [layers, heads, size, capacity] = pool.shape();
  const auto scatter = [&](const float* from, float* to) {
    for (std::int64_t head = 0; head < heads; ++head)
      std::copy_n(from + head * size, size, to + head * pool.head_stride());
  };
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    const std::size_t at = n * static_cast<std::size_t>(heads * size);
    scatter(keys + at, pool.key(tokens[n].row, layer, tokens[n].place));
    scatter(values + at, pool.value(tokens[n].row, layer, tokens[n].place));
  }
}

void attend(const KeyValuePool& pool, std::int64_t layer, std::span<const CachedToken> tokens,
            const float* queries, float* out) {
  const std::int64_t heads = pool.shape().heads, size = pool.shape().head_size;
  const std::int64_t count = static_cast<std::int64_t>(tokens.size());
  // Neighbours in this order read the same head of the same row.
  at::parallel_for(0, heads * count, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t head = task / count, n = task % count, at = (n * heads + head) * size;
      attend_head(pool, layer, head, tokens[static_cast<std::size_t>(n)], queries + at, scratch,
                  out + at);
    }
  });
}

}  // namespace btm
