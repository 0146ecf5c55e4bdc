#include "btm/model/gathered_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <map>

#include "btm/model/ids_tensor.h"

namespace btm {
namespace {

constexpr std::int64_t kBlock = KeyValuePool::kBlock;
/// Tokens whose keys are gathered at once. One row is gathered whatever it has.
constexpr std::int64_t kTokensAtOnce = std::int64_t{1} << 16;
constexpr std::int64_t kFirstBlocks = 64;

/// A copy of [N] int64 on a device.
at::Tensor ids_on(at::Device device, const std::vector<std::int64_t>& values) {
  return ids_tensor(values).to(device, at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

TensorBlocks::TensorBlocks(const KeyValuePool::Shape& shape, const at::TensorOptions& options) {
  const std::int64_t blocks = std::min(kFirstBlocks, KeyValuePool::blocks_for(shape.tokens));
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    layers_.push_back(at::empty({blocks, 2, kBlock, shape.heads, shape.head_size}, options));
}

void TensorBlocks::add() {
  const std::int64_t blocks = layers_.front().size(0);
  if (++used_ <= blocks) return;
  for (at::Tensor& layer : layers_) {  // one after another: only one layer is there twice
    std::vector<std::int64_t> sizes = layer.sizes().vec();
    sizes.front() = 2 * blocks;
    const at::Tensor larger = at::empty(sizes, layer.options());
    larger.narrow(0, 0, blocks).copy_(layer);
    layer = larger;
  }
}

void TensorBlocks::copy(KeyValuePool::Block from, KeyValuePool::Block to) {
  for (const at::Tensor& layer : layers_) layer.select(0, to).copy_(layer.select(0, from));
}

/// New tokens of one row, from the step's token `first` on. The row's text ends with them.
struct GatheredAttention::NewRow {
  KeyValuePool::Row row = 0;
  std::int64_t first = 0, count = 0, length = 0;
};

GatheredAttention::GatheredAttention(const KeyValuePool& pool, TensorBlocks& blocks,
                                     std::span<const CachedToken> tokens)
    : shape_(pool.shape()), blocks_(blocks) {
  std::vector<std::int64_t> block, slot;
  std::map<std::int64_t, std::vector<NewRow>> by_count;
  for (std::size_t n = 0; n < tokens.size();) {
    NewRow row{tokens[n].row, static_cast<std::int64_t>(n), 0, 0};
    for (; n < tokens.size() && tokens[n].row == row.row; ++n, ++row.count) {
      block.push_back(pool.blocks(row.row)[static_cast<std::size_t>(tokens[n].place / kBlock)]);
      slot.push_back(tokens[n].place % kBlock);
    }
    row.length = tokens[n - 1].place + 1;
    by_count[row.count].push_back(row);
  }
  block_ = ids_on(blocks.options().device(), block);
  slot_ = ids_on(blocks.options().device(), slot);
  for (const auto& [count, rows] : by_count)
    for (std::size_t from = 0; from < rows.size();) {
      std::int64_t longest = 0;
      std::size_t end = from;
      for (; end < rows.size(); ++end) {
        const std::int64_t padded = std::max(longest, KeyValuePool::blocks_for(rows[end].length));
        const auto together = static_cast<std::int64_t>(end - from) + 1;
        if (end > from && together * padded * kBlock > kTokensAtOnce) break;
        longest = padded;
      }
      groups_.push_back(group_of(pool, std::span(rows).subspan(from, end - from), longest));
      from = end;
    }
}

GatheredAttention::Group GatheredAttention::group_of(const KeyValuePool& pool,
                                                     std::span<const NewRow> rows,
                                                     std::int64_t longest) const {
  const std::int64_t count = rows.front().count;
  std::vector<std::int64_t> tokens, places, blocks;
  for (const NewRow& row : rows) {
    const std::span<const KeyValuePool::Block> all = pool.blocks(row.row);
    for (std::int64_t b = 0; b < longest; ++b)
      blocks.push_back(all[b * kBlock < row.length ? static_cast<std::size_t>(b) : 0]);
    for (std::int64_t n = 0; n < count; ++n) {
      tokens.push_back(row.first + n);
      places.push_back(row.length - count + n);
    }
  }
  const auto number = static_cast<std::int64_t>(rows.size());
  const at::Device device = blocks_.options().device();
  const at::Tensor place = ids_on(device, places).view({number, 1, count, 1});
  const at::Tensor key = at::arange(longest * kBlock, place.options());
  return {number, ids_on(device, tokens), ids_on(device, blocks), key.le(place),
          key.view({1, -1, 1, 1}).gt(place.narrow(2, count - 1, 1))};
}

at::Tensor GatheredAttention::attend(const Group& group, std::int64_t layer,
                                     const at::Tensor& q) const {
  const auto by_head = [&](const at::Tensor& part) {  // [R, heads, Q or T, head_size]
    return part.view({group.rows, -1, shape_.heads, shape_.head_size}).transpose(1, 2);
  };
  const at::Tensor queries = by_head(q.index_select(0, group.tokens));
  // What nobody attends to is 0: the mask does not cancel NaN, which unwritten memory may hold.
  const auto gathered = [&](const at::Tensor& part) {
    const at::Tensor rows =
        part.index_select(0, group.blocks).view({group.rows, -1, shape_.heads, shape_.head_size});
    return by_head(rows.masked_fill_(group.unseen, 0));
  };
  return at::scaled_dot_product_attention(queries, gathered(blocks_.keys(layer)),
                                          gathered(blocks_.values(layer)), group.seen)
      .transpose(1, 2)
      .reshape({-1, shape_.heads * shape_.head_size});
}

at::Tensor GatheredAttention::operator()(std::int64_t layer, const at::Tensor& q,
                                         const at::Tensor& k, const at::Tensor& v) const {
  const std::vector<std::int64_t> sizes{q.size(0), shape_.heads, shape_.head_size};
  blocks_.keys(layer).index_put_({block_, slot_}, k.view(sizes));
  blocks_.values(layer).index_put_({block_, slot_}, v.view(sizes));
  at::Tensor out = at::empty_like(q);
  for (const Group& group : groups_) out.index_copy_(0, group.tokens, attend(group, layer, q));
  return out;
}

}  // namespace btm
