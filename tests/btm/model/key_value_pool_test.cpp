#include "btm/model/key_value_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>

namespace btm {
namespace {

using Row = KeyValuePool::Row;
constexpr std::int64_t kBlock = KeyValuePool::kBlock;

KeyValuePool small(std::int64_t blocks) { return KeyValuePool({2, 3, 4, blocks * kBlock}); }

/// Writes the same mark into every head's key of a token in every layer, and its opposite as value.
void write(KeyValuePool& pool, Row row, std::int64_t token, float mark) {
  const auto& shape = pool.shape();
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    for (std::int64_t head = 0; head < shape.heads; ++head)
      for (std::int64_t i = 0; i < shape.head_size; ++i) {
        pool.key(row, layer, token)[head * pool.head_stride() + i * kBlock] = mark;
        pool.value(row, layer, token)[head * pool.head_stride() + i] = -mark;
      }
}

/// The mark, or NaN where the places differ.
float read(const KeyValuePool& pool, Row row, std::int64_t token) {
  const auto& shape = pool.shape();
  const KeyValuePool::Block block = pool.blocks(row)[static_cast<std::size_t>(token / kBlock)];
  const float mark = pool.keys(block, 0, 0)[token % kBlock];
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    for (std::int64_t head = 0; head < shape.heads; ++head)
      for (std::int64_t i = 0; i < shape.head_size; ++i) {
        const std::int64_t slot = token % kBlock;
        if (pool.keys(block, layer, head)[i * kBlock + slot] != mark ||
            pool.values(block, layer, head)[slot * shape.head_size + i] != -mark)
          return std::numeric_limits<float>::quiet_NaN();
      }
  return mark;
}

TEST(KeyValuePool, TakesWholeBlocksAndGivesThemBack) {
  KeyValuePool pool = small(4);
  const Row row = pool.open(0).value();
  EXPECT_EQ(pool.free_tokens(), 4 * kBlock);
  EXPECT_TRUE(pool.extend(row, kBlock + 1));
  EXPECT_EQ(pool.free_tokens(), 2 * kBlock);
  EXPECT_EQ(pool.length(row), kBlock + 1);
  EXPECT_TRUE(pool.extend(row, kBlock - 1));
  EXPECT_EQ(pool.free_tokens(), 2 * kBlock) << "the second block had room";
  pool.truncate(row, 1);
  EXPECT_EQ(pool.free_tokens(), 3 * kBlock);
  pool.close(row);
  EXPECT_EQ(pool.free_tokens(), 4 * kBlock);
  EXPECT_EQ(pool.rows(), 0U);
}

TEST(KeyValuePool, RefusesWithoutChangeWhenFull) {
  KeyValuePool pool = small(3);
  EXPECT_FALSE(pool.open(3 * kBlock + 1).has_value());
  const Row row = pool.open(kBlock).value();
  EXPECT_FALSE(pool.open(2 * kBlock + 1).has_value());
  EXPECT_FALSE(pool.extend(row, 3 * kBlock + 1));
  EXPECT_EQ(pool.length(row), 0);
  EXPECT_EQ(pool.free_tokens(), 2 * kBlock);
  EXPECT_TRUE(pool.extend(row, 3 * kBlock));
  const Row copy = pool.fork(row);
  EXPECT_FALSE(pool.extend(copy, 1));
  pool.truncate(copy, 1);
  EXPECT_FALSE(pool.extend(copy, 1)) << "its block is shared and there is none for a copy";
  EXPECT_EQ(pool.length(copy), 1);
}

TEST(KeyValuePool, ForksWriteOnCopies) {
  KeyValuePool pool = small(8);
  const Row row = pool.open(0).value();
  ASSERT_TRUE(pool.extend(row, kBlock + 2));
  for (std::int64_t i = 0; i < kBlock + 2; ++i) write(pool, row, i, static_cast<float>(i));
  const Row fork = pool.fork(row), of_fork = pool.fork(fork);
  EXPECT_EQ(pool.free_tokens(), 6 * kBlock) << "three rows share two blocks";
  ASSERT_TRUE(pool.extend(fork, 1));
  write(pool, fork, kBlock + 2, 100);
  ASSERT_TRUE(pool.extend(row, 1));
  write(pool, row, kBlock + 2, 200);
  EXPECT_EQ(pool.free_tokens(), 4 * kBlock);
  EXPECT_EQ(read(pool, fork, kBlock + 2), 100);
  EXPECT_EQ(read(pool, row, kBlock + 2), 200);
  for (const Row one : {row, fork, of_fork})
    for (std::int64_t i = 0; i < kBlock + 2; ++i) EXPECT_EQ(read(pool, one, i), i);
  pool.close(row);
  EXPECT_EQ(read(pool, of_fork, 3), 3);
}

TEST(KeyValuePool, RefusesWhatIsNotThere) {
  EXPECT_THROW(KeyValuePool({1, 1, 0, 16}), std::invalid_argument);
  EXPECT_THROW(KeyValuePool({1, 1, 1, 0}), std::invalid_argument);
  KeyValuePool pool = small(2);
  const Row row = pool.open(1).value();
  EXPECT_THROW(pool.truncate(row, 1), std::invalid_argument);
  EXPECT_THROW(pool.extend(row, -1), std::invalid_argument);
  pool.close(row);
  EXPECT_THROW(pool.close(row), std::invalid_argument);
  EXPECT_THROW(pool.length(row), std::invalid_argument);
}

/// A pool beside plain copies of every row's marks.
class Checked {
 public:
  explicit Checked(unsigned seed) : random_(seed) {}

  void step() {
    const int kind = pick(10);
    if (texts_.empty() || kind == 0) return open();
    const auto chosen = std::next(texts_.begin(), pick(static_cast<int>(texts_.size())));
    if (kind < 6) return extend(*chosen);
    if (kind == 6) return fork(*chosen);
    if (kind < 9) return truncate(*chosen);
    pool_.close(chosen->first);
    texts_.erase(chosen);
  }

  void check() const {
    ASSERT_EQ(pool_.rows(), texts_.size());
    for (const auto& [row, marks] : texts_) {
      ASSERT_EQ(pool_.length(row), static_cast<std::int64_t>(marks.size()));
      for (std::size_t i = 0; i < marks.size(); ++i)
        ASSERT_EQ(read(pool_, row, static_cast<std::int64_t>(i)), marks[i]);
    }
  }

  void close_all() {
    for (const auto& [row, marks] : texts_) pool_.close(row);
    EXPECT_EQ(pool_.free_tokens(), pool_.shape().tokens) << "blocks are lost";
  }

 private:
  using Marks = std::vector<float>;

  int pick(int count) { return std::uniform_int_distribution(0, count - 1)(random_); }

  void open() {
    if (const auto row = pool_.open(pick(40))) texts_.emplace(*row, Marks());
  }
  void fork(std::pair<const Row, Marks>& text) {
    const Marks marks = text.second;
    texts_.emplace(pool_.fork(text.first), marks);
  }
  void truncate(std::pair<const Row, Marks>& text) {
    text.second.resize(static_cast<std::size_t>(pick(static_cast<int>(text.second.size()) + 1)));
    pool_.truncate(text.first, static_cast<std::int64_t>(text.second.size()));
  }
  void extend(std::pair<const Row, Marks>& text) {
    const int count = pick(30);
    if (!pool_.extend(text.first, count)) return;
    for (int i = 0; i < count; ++i) {
      text.second.push_back(++mark_);
      write(pool_, text.first, static_cast<std::int64_t>(text.second.size()) - 1, mark_);
    }
  }

  std::mt19937 random_;
  KeyValuePool pool_ = small(24);
  std::map<Row, Marks> texts_;
  float mark_ = 0;
};

TEST(KeyValuePool, KeepsEveryRowThroughRandomOperations) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    Checked checked(seed);
    for (int i = 0; i < 10'000; ++i) {
      checked.step();
      if (i % 100 == 0) checked.check();
      if (::testing::Test::HasFatalFailure()) return;
    }
    checked.close_all();
  }
}

}  // namespace
}  // namespace btm
