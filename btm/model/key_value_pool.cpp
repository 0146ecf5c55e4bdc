#include "btm/model/key_value_pool.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace btm {
KeyValuePool::KeyValuePool(const Shape& shape, std::unique_ptr<BlockMemory> elsewhere)
    : shape_(shape), elsewhere_(std::move(elsewhere)) {
  if (shape.layers < 1 || shape.heads < 1 || shape.head_size < 1 || shape.tokens < 1)
    throw std::invalid_argument("KeyValuePool: a size below 1");
  free_ = blocks_for(shape.tokens);
  if (free_ > std::numeric_limits<Block>::max())
    throw std::invalid_argument("KeyValuePool: more blocks than it can number");
}

const KeyValuePool::Text& KeyValuePool::at(Row row) const {
  const auto found = rows_.find(row);
  if (found == rows_.end()) throw std::invalid_argument("KeyValuePool: no such row");
  return found->second;
}

std::int64_t KeyValuePool::block_floats() const {
  return shape_.layers * 2 * shape_.heads * head_stride();
}

KeyValuePool::Block KeyValuePool::take() {
  --free_;
  if (unused_.empty()) {
    if (elsewhere_)
      elsewhere_->add();
    else
      memory_.push_back(
          std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(block_floats())));
    owners_.push_back(1);
    return static_cast<Block>(owners_.size() - 1);
  }
  const Block block = unused_.back();
  unused_.pop_back();
  owners_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void KeyValuePool::give(Block block) {
  if (--owners_[static_cast<std::size_t>(block)] > 0) return;
  unused_.push_back(block);
  ++free_;
}

void KeyValuePool::own(Text& text, std::size_t index) {
  const Block shared = text.blocks[index];
  if (owners_[static_cast<std::size_t>(shared)] == 1) return;
  const Block copy = take();
  if (elsewhere_)
    elsewhere_->copy(shared, copy);
  else
    std::copy_n(memory_[static_cast<std::size_t>(shared)].get(), block_floats(),
                memory_[static_cast<std::size_t>(copy)].get());
  give(shared);
  text.blocks[index] = copy;
}

std::optional<KeyValuePool::Row> KeyValuePool::open(std::int64_t tokens) {
  const std::int64_t blocks = blocks_for(std::max<std::int64_t>(tokens, 0));
  if (blocks > free_) return std::nullopt;
  Text text;
  for (std::int64_t i = 0; i < blocks; ++i) text.blocks.push_back(take());
  rows_.emplace(next_, std::move(text));
  return next_++;
}

KeyValuePool::Row KeyValuePool::fork(Row row) {
  Text text;
  text.length = at(row).length;
  const auto used = static_cast<std::ptrdiff_t>(blocks_for(text.length));
  text.blocks.assign(at(row).blocks.begin(), at(row).blocks.begin() + used);
  for (const Block block : text.blocks) ++owners_[static_cast<std::size_t>(block)];
  rows_.emplace(next_, std::move(text));
  return next_++;
}

bool KeyValuePool::reserve(Row row, std::int64_t length) {
  Text& text = at(row);
  const auto have = static_cast<std::int64_t>(text.blocks.size());
  const std::int64_t missing = std::max<std::int64_t>(0, blocks_for(length) - have);
  // Blocks that come to be written: the last one, if it is full in part, and what open() reserved.
  const auto first = static_cast<std::size_t>(text.length / kBlock);
  const auto shared = [&](std::size_t index) {
    return owners_[static_cast<std::size_t>(text.blocks[index])] > 1;
  };
  const bool copies = length > text.length && first < text.blocks.size() && shared(first);
  if (missing + (copies ? 1 : 0) > free_) return false;
  if (copies) own(text, first);
  for (std::int64_t i = 0; i < missing; ++i) text.blocks.push_back(take());
  return true;
}

bool KeyValuePool::extend(Row row, std::int64_t count) {
  if (count < 0) throw std::invalid_argument("KeyValuePool: extended by less than nothing");
  Text& text = at(row);
  if (!reserve(row, text.length + count)) return false;
  text.length += count;
  return true;
}

void KeyValuePool::truncate(Row row, std::int64_t length) {
  Text& text = at(row);
  if (length < 0 || length > text.length)
    throw std::invalid_argument("KeyValuePool: truncated to more than there is");
  text.length = length;
  const auto needed = static_cast<std::size_t>(blocks_for(length));
  while (text.blocks.size() > needed) {
    give(text.blocks.back());
    text.blocks.pop_back();
  }
}

void KeyValuePool::close(Row row) {
  for (const Block block : at(row).blocks) give(block);
  rows_.erase(row);
}

float* KeyValuePool::place(Block block, std::int64_t layer, std::int64_t half) const {
  return memory_[static_cast<std::size_t>(block)].get() +
         (layer * 2 + half) * shape_.heads * head_stride();
}

float* KeyValuePool::key(Row row, std::int64_t layer, std::int64_t token) {
  const Block block = at(row).blocks[static_cast<std::size_t>(token / kBlock)];
  return place(block, layer, 0) + token % kBlock;
}

float* KeyValuePool::value(Row row, std::int64_t layer, std::int64_t token) {
  const Block block = at(row).blocks[static_cast<std::size_t>(token / kBlock)];
  return place(block, layer, 1) + token % kBlock * shape_.head_size;
}

const float* KeyValuePool::keys(Block block, std::int64_t layer, std::int64_t head) const {
  return place(block, layer, 0) + head * head_stride();
}

const float* KeyValuePool::values(Block block, std::int64_t layer, std::int64_t head) const {
  return place(block, layer, 1) + head * head_stride();
}

}  // namespace btm
