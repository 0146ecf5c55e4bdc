// Attention of new tokens over the keys and values of their rows where a pool's blocks are tensors:
// on a GPU. Blocks are gathered before LibTorch multiplies them. N new tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "btm/model/cached_attention.h"
#include "btm/model/key_value_pool.h"

namespace btm {

/// The blocks of a pool in tensors. Their number doubles when it is too small.
class TensorBlocks final : public KeyValuePool::BlockMemory {
 public:
  /// `options`: dtype and device of the keys and values.
  TensorBlocks(const KeyValuePool::Shape& shape, const at::TensorOptions& options);

  void add() override;
  void copy(KeyValuePool::Block from, KeyValuePool::Block to) override;

  at::TensorOptions options() const { return layers_.front().options(); }
  /// [blocks, kBlock, heads, head_size] of a layer. Tokens that were never written are undefined.
  at::Tensor keys(std::int64_t layer) const { return half(layer, 0); }
  at::Tensor values(std::int64_t layer) const { return half(layer, 1); }

 private:
  at::Tensor half(std::int64_t layer, std::int64_t which) const {
    return layers_[static_cast<std::size_t>(layer)].select(1, which);
  }

  std::int64_t used_ = 0;
  std::vector<at::Tensor> layers_;  ///< [blocks, keys and values, kBlock, heads, head_size]
};

/// The attention of one step, for all layers. It knows where the tokens' keys go, and which blocks
/// each of them reads.
class GatheredAttention {
 public:
  /// `tokens` as attend() takes them: those of a row stand together, in ascending order.
  GatheredAttention(const KeyValuePool& pool, TensorBlocks& blocks,
                    std::span<const CachedToken> tokens);

  /// Puts the keys and values of the new tokens into the blocks, and computes
  /// softmax(q k^T / sqrt(head_size)) v for every token over its row up to and with itself: all
  /// [N, heads * head_size] of the blocks' dtype and device.
  at::Tensor operator()(std::int64_t layer, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v) const;

 private:
  /// R rows with Q new tokens each, which are multiplied together. Their texts have at most T
  /// tokens in whole blocks.
  struct Group {
    std::int64_t rows = 0;
    at::Tensor tokens;  ///< [R * Q] int64: which of the step's
    at::Tensor blocks;  ///< [R * T / kBlock] int64; a short row's first block fills up
    at::Tensor seen;    ///< [R, 1, Q, T] bool: the keys that a token attends to
    at::Tensor unseen;  ///< [R, T, 1, 1] bool: those behind the row's last token
  };
  struct NewRow;
  /// The longest of the rows has `longest` blocks.
  Group group_of(const KeyValuePool& pool, std::span<const NewRow> rows,
                 std::int64_t longest) const;
  at::Tensor attend(const Group& group, std::int64_t layer, const at::Tensor& q) const;

  KeyValuePool::Shape shape_;
  TensorBlocks& blocks_;
  at::Tensor block_, slot_;  ///< [N] int64: where the new tokens' keys go
  std::vector<Group> groups_;
};

}  // namespace btm
