// Keys and values of attention for many rows of text at once, in blocks of a fixed number of tokens
// that rows with a common beginning share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace btm {

class KeyValuePool {
 public:
  /// What a pool holds: of a model's sizes, and for how many tokens.
  struct Shape {
    std::int64_t layers = 0, heads = 0, head_size = 0;
    std::int64_t tokens = 0;  ///< in all rows together; rounded up to whole blocks
  };
  /// Tokens of a block. A row takes whole blocks.
  static constexpr std::int64_t kBlock = 16;
  /// The blocks that `tokens` need.
  static constexpr std::int64_t blocks_for(std::int64_t tokens) {
    return tokens / kBlock + (tokens % kBlock != 0 ? 1 : 0);
  }

  /// A row of text. Never used twice.
  using Row = std::int64_t;

  using Block = std::int32_t;
  /// Where the blocks of a pool are, if not in this class.
  class BlockMemory {
   public:
    virtual ~BlockMemory() = default;
    virtual void add() = 0;  ///< One more block, numbered from 0.
    virtual void copy(Block from, Block to) = 0;
  };

  /// No memory is allocated before it is used. std::invalid_argument for a size below 1.
  explicit KeyValuePool(const Shape& shape, std::unique_ptr<BlockMemory> elsewhere = {});

  const Shape& shape() const noexcept { return shape_; }
  /// Null where the pool holds the blocks. Otherwise key(), value(), keys() and values() must not
  /// be called.
  BlockMemory* elsewhere() const noexcept { return elsewhere_.get(); }
  /// Tokens that new blocks can still take.
  std::int64_t free_tokens() const noexcept { return free_ * kBlock; }

  /// A new row with room for `tokens`; nothing, and nothing changes, where the pool is too full.
  std::optional<Row> open(std::int64_t tokens);
  /// A new row with the tokens of `row`, whose blocks the two share until one of them writes.
  Row fork(Row row);
  /// Makes sure that the row can grow to `length` tokens: extend() succeeds until then unless the
  /// row is forked. False, and nothing changes, where the pool is too full.
  bool reserve(Row row, std::int64_t length);
  /// Makes the row `count` tokens longer: their keys and values are written next. False, and
  /// nothing changes, where the pool is too full.
  bool extend(Row row, std::int64_t count);
  /// Leaves the row its first `length` tokens. std::invalid_argument for more than it has.
  void truncate(Row row, std::int64_t length);
  void close(Row row);

  std::int64_t length(Row row) const { return at(row).length; }
  std::size_t rows() const noexcept { return rows_.size(); }

  /// Where the key of a token lies: [head_size] floats a head, kBlock floats apart, the next head's
  /// `head_stride()` further. Only tokens that extend() has added since a fork may be written.
  float* key(Row row, std::int64_t layer, std::int64_t token);
  /// The same of its value, whose floats are next to each other.
  float* value(Row row, std::int64_t layer, std::int64_t token);

  /// The blocks of a row, kBlock tokens each. The last ones may be without tokens.
  std::span<const Block> blocks(Row row) const { return at(row).blocks; }
  /// [head_size][kBlock] floats of a head: the keys of a block's tokens lie side by side, as one
  /// query reads them.
  const float* keys(Block block, std::int64_t layer, std::int64_t head) const;
  /// [kBlock][head_size] floats of a head.
  const float* values(Block block, std::int64_t layer, std::int64_t head) const;
  std::int64_t head_stride() const noexcept { return kBlock * shape_.head_size; }

 private:
  struct Text {
    std::int64_t length = 0;
    std::vector<Block> blocks;  ///< As many as `length` needs, or more after open().
  };

  const Text& at(Row row) const;
  Text& at(Row row) { return const_cast<Text&>(std::as_const(*this).at(row)); }
  Block take();
  void give(Block block);
  /// The block in the row's own possession: a copy of it where others have it too.
  void own(Text& text, std::size_t index);
  float* place(Block block, std::int64_t layer, std::int64_t half) const;
  std::int64_t block_floats() const;

  Shape shape_;
  std::unique_ptr<BlockMemory> elsewhere_;
  std::int64_t free_ = 0;                         ///< blocks
  std::vector<std::unique_ptr<float[]>> memory_;  ///< [layers][keys, values][heads][kBlock * size]
  std::vector<std::int32_t> owners_;              ///< rows that have a block
  std::vector<Block> unused_;
  std::unordered_map<Row, Text> rows_;
  Row next_ = 0;
};

}  // namespace btm
