#include "btm/data/batches.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/support/files.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;
using Batches = std::vector<Ids>;

/// Samples of the given lengths. Sample i holds the tokens 10 * i + column.
class FakeDataset final : public LmDataset {
 public:
  explicit FakeDataset(Ids lengths) : lengths_(std::move(lengths)) {}
  std::int64_t size() const noexcept override { return static_cast<std::int64_t>(lengths_.size()); }
  std::int64_t num_tokens(std::int64_t i) const noexcept override {
    return lengths_[static_cast<std::size_t>(i)];
  }
  void read(std::int64_t i, LmSample& sample) const override {
    sample.source.resize(static_cast<std::size_t>(num_tokens(i)));
    std::iota(sample.source.begin(), sample.source.end(), 10 * i);
    sample.target = sample.source;
    for (auto& id : sample.target) ++id;
  }

 private:
  Ids lengths_;
};

Batches batches_of(const Ids& lengths, std::int64_t max_tokens, std::int64_t max_sentences,
                   std::int64_t multiple = 1) {
  Ids order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  return batch_by_size(order, FakeDataset(lengths), max_tokens, max_sentences, multiple);
}

TEST(BatchBySize, CountsSentences) {
  EXPECT_EQ(batches_of({4, 4, 4, 4, 4}, 0, 2), (Batches{{0, 1}, {2, 3}, {4}}));
}

TEST(BatchBySize, CountsPaddingAsTokens) {
  EXPECT_EQ(batches_of({1, 1, 4, 4}, 8, 0), (Batches{{0, 1}, {2, 3}}));
}

TEST(BatchBySize, KeepsASampleThatIsTooLongByItself) {
  EXPECT_EQ(batches_of({2, 9, 2}, 4, 0), (Batches{{0}, {1}, {2}}));
}

TEST(BatchBySize, CutsAtAMultiple) {
  EXPECT_EQ(batches_of({1, 1, 1, 1, 1, 1, 1}, 5, 0, 2), (Batches{{0, 1, 2, 3}, {4, 5}, {6}}));
}

TEST(BatchBySize, CutsTheEndAtAMultiple) {
  EXPECT_EQ(batches_of({4, 4, 4, 4, 4}, 0, 0, 4), (Batches{{0, 1, 2, 3}, {4}}));
}

TEST(BatchBySize, ClosesTwoBatchesWhereTheRestIsTooLargeForTheNextSample) {
  EXPECT_EQ(batches_of({1, 1, 1, 4, 4}, 8, 0, 2), (Batches{{0, 1}, {2, 3}, {4}}));
  EXPECT_EQ(batches_of({1, 1, 1, 7}, 8, 0, 2), (Batches{{0, 1}, {2}, {3}}));
}

TEST(BatchBySize, CutsAsFairseqDoes) {
  std::ifstream in(btm_test::golden("batch_by_size.jsonl"));
  int rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const nlohmann::json row = nlohmann::json::parse(line);
    const auto limit = [&](const char* name) {
      return row.at(name).is_null() ? 0 : row.at(name).get<std::int64_t>();
    };
    const auto sizes = row.at("sizes").get<Ids>();
    Ids lengths, ids, order(sizes.size());
    for (const Ids& batch : batches_of(sizes, limit("max_tokens"), limit("max_sentences"),
                                       limit("required_batch_size_multiple"))) {
      lengths.push_back(static_cast<std::int64_t>(batch.size()));
      ids.insert(ids.end(), batch.begin(), batch.end());
    }
    std::iota(order.begin(), order.end(), 0);
    EXPECT_EQ(lengths, row.at("batch_lengths").get<Ids>()) << line;
    EXPECT_EQ(ids, order);
  }
  EXPECT_EQ(rows, 250);
}

TEST(BatchBySize, IsEmptyForNothing) { EXPECT_TRUE(batches_of({}, 4, 4).empty()); }

TEST(OrderedBySize, BreaksTiesByTheSeededPermutation) {
  // RandomState(1).permutation(4) is [3, 2, 0, 1] (numpy 1.23.5).
  EXPECT_EQ(ordered_by_size(FakeDataset({5, 5, 5, 5}), 1), (Ids{2, 3, 1, 0}));
  EXPECT_EQ(ordered_by_size(FakeDataset({5, 5, 1, 5}), 1), (Ids{2, 3, 1, 0}));
  EXPECT_EQ(ordered_by_size(FakeDataset({9, 5, 5, 5}), 1), (Ids{2, 3, 1, 0}));
}

TEST(DropLongerThan, SaysHowMany) {
  Ids order{0, 1, 2};
  EXPECT_EQ(drop_longer_than(FakeDataset({3, 4, 5}), 4, order), 1);
  EXPECT_EQ(order, (Ids{0, 1}));
}

TEST(ShardOf, TakesEveryNth) {
  const Batches batches{{0}, {1}, {2}, {3}, {4}};
  EXPECT_EQ(shard_of(batches, 2, 1), (Batches{{1}, {3}}));
  EXPECT_EQ(shard_of(batches, 1, 0), batches);
  EXPECT_TRUE(shard_of(batches, 9, 7).empty());
}

TEST(HasInteriorPadding, LooksForATokenOrATargetAtOrAfterPadding) {
  const auto has = [](std::int64_t columns, Ids tokens, Ids targets) {
    Batch batch;
    batch.columns = columns;
    batch.rows = static_cast<std::int64_t>(tokens.size()) / columns;
    batch.tokens = std::move(tokens);
    batch.targets = std::move(targets);
    batch.pad = 1;
    return has_interior_padding(batch);
  };
  EXPECT_FALSE(has(3, {2, 5, 6, 2, 7, 1}, {5, 6, 2, 7, 2, 1})) << "padding ends a row";
  EXPECT_FALSE(has(3, {2, 5, 6, 1, 1, 1}, {5, 6, 2, 1, 1, 1})) << "a row of padding";
  EXPECT_TRUE(has(3, {2, 5, 6, 2, 1, 7}, {5, 6, 2, 1, 7, 2}));
  EXPECT_TRUE(has(3, {1, 5, 6}, {5, 6, 2})) << "padding begins a row";
  EXPECT_TRUE(has(3, {2, 5, 1}, {5, 1, 2})) << "the last target is no padding";
  EXPECT_FALSE(has(3, {2, 5, 6}, {5, 6, 1})) << "a target alone changes nothing for the model";
}

TEST(Batch, KnowsTheTargetsThatCount) {
  Batch batch;
  batch.pad = 1;
  batch.rows = 3;
  batch.columns = 4;
  batch.targets = {5, 6, 7, 8, 5, 1, 7, 1, 1, 1, 1, 1};  // padding amid a row, a row of padding
  batch.first_scored = {2, 0, 0};
  std::vector<std::pair<std::int64_t, std::size_t>> found;
  batch.for_each_scored([&](std::int64_t row, std::size_t at) { found.emplace_back(row, at); });
  EXPECT_EQ(found,
            (std::vector<std::pair<std::int64_t, std::size_t>>{{0, 2}, {0, 3}, {1, 4}, {1, 6}}));
  std::vector<std::int64_t> columns;
  batch.for_each_scored_of(1, [&](std::int64_t column, std::size_t at) {
    EXPECT_EQ(at, batch.place(1, column));
    columns.push_back(column);
  });
  EXPECT_EQ(columns, (Ids{0, 2}));
  EXPECT_EQ(batch.num_scored_of(0), 2);
  EXPECT_EQ(batch.num_scored_of(2), 0);
  EXPECT_EQ(batch.size(), 12U);
}

TEST(Collate, PadsToTheLongest) {
  const Batch batch = collate(FakeDataset({1, 3}), Ids{0, 1}, 1);
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.columns, 3);
  EXPECT_EQ(batch.tokens, (Ids{0, 1, 1, 10, 11, 12}));
  EXPECT_EQ(batch.targets, (Ids{1, 1, 1, 11, 12, 13}));
  EXPECT_EQ(batch.num_tokens, 4);
  EXPECT_EQ(batch.pad, 1);
}

}  // namespace
}  // namespace btm
