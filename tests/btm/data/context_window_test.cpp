#include "btm/data/context_window.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;
constexpr std::int64_t kPad = 1;

Batch batch_of(const std::vector<Ids>& rows) {
  Batch batch;
  batch.pad = kPad;
  batch.rows = static_cast<std::int64_t>(rows.size());
  batch.columns = static_cast<std::int64_t>(rows.front().size());
  for (const Ids& row : rows) {
    batch.tokens.insert(batch.tokens.end(), row.begin(), row.end());
    for (const std::int64_t id : row) batch.targets.push_back(id == kPad ? kPad : id + 100);
    batch.first_scored.push_back(0);
  }
  return batch;
}

TEST(ContextWindow, PutsEarlierTokensBeforeEveryRow) {
  ContextWindow window(2, 3);
  Batch first = batch_of({{10, 11, 12}, {13, 14, 15}});
  window.extend(first);
  EXPECT_EQ(first.columns, 5);
  EXPECT_EQ(first.tokens, (Ids{10, 11, 12, 1, 1, 11, 12, 13, 14, 15}));
  EXPECT_EQ(first.targets, (Ids{110, 111, 112, 1, 1, 1, 1, 113, 114, 115}));
  EXPECT_EQ(first.first_scored, (Ids{0, 2}));
  Batch second = batch_of({{16, 17, 1}});
  window.extend(second);
  EXPECT_EQ(second.tokens, (Ids{14, 15, 16, 17}));  // the last column was padding only
  EXPECT_EQ(second.first_scored, (Ids{2}));
}

TEST(ContextWindow, LeavesNoRoomForContextBesideALongSample) {
  ContextWindow window(2, 2);
  Batch first = batch_of({{10, 11, 12, 13}});
  window.extend(first);
  Batch second = batch_of({{14, 15, 16}});
  window.extend(second);
  EXPECT_EQ(second.tokens, (Ids{13, 14, 15, 16}));
  EXPECT_EQ(second.first_scored, (Ids{1}));
}

TEST(ContextWindow, KeepsWhatFollowsPaddingAmidARow) {
  ContextWindow window(1, 4);
  Batch batch = batch_of({{10, 1, 11, 1}, {12, 13, 1, 1}});
  batch.targets = {1, 11, 1, 2, 13, 2, 1, 1};
  window.extend(batch);
  EXPECT_EQ(batch.columns, 4);
  EXPECT_EQ(batch.tokens, (Ids{10, 1, 11, 1, 11, 12, 13, 1}));
  EXPECT_EQ(batch.targets, (Ids{1, 11, 1, 2, 1, 13, 2, 1}));
}

TEST(ContextWindow, NarrowsRowsOfUnequalLength) {
  ContextWindow window(1, 3);
  Batch batch = batch_of({{10, 11, 1}, {12, 13, 1}});
  window.extend(batch);
  EXPECT_EQ(batch.columns, 3);
  EXPECT_EQ(batch.tokens, (Ids{10, 11, 1, 11, 12, 13}));
  EXPECT_EQ(batch.targets, (Ids{110, 111, 1, 1, 112, 113}));
}

}  // namespace
}  // namespace btm
