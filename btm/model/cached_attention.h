// Attention of new tokens over the keys and values of their rows, on the CPU in fp32.
#pragma once

#include <cstdint>
#include <span>

#include "btm/model/key_value_pool.h"

namespace btm {

/// A token: the row of a pool that it belongs to, and its place in it.
struct CachedToken {
  KeyValuePool::Row row = 0;
  std::int64_t place = 0;
};

/// Puts the keys and values of new tokens into the pool: [N, heads * head_size] each.
void store_keys_and_values(KeyValuePool& pool, std::int64_t layer,
                           std::span<const CachedToken> tokens, const float* keys,
                           const float* values);

/// softmax(q k^T / sqrt(head_size)) v for every token over its row up to and with itself; queries
/// and `out` are [N, heads * head_size]. A token's result does not depend on the others.
void attend(const KeyValuePool& pool, std::int64_t layer, std::span<const CachedToken> tokens,
            const float* queries, float* out);

}  // namespace btm
