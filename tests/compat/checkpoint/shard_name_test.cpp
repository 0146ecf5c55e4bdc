#include "compat/checkpoint/shard_name.h"

#include <gtest/gtest.h>

namespace compat {
namespace {

TEST(ShardName, IsOfARanksFile) {
  const auto name = shard_name("models/demix/checkpoint_last-rank-12.pt");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "checkpoint_last");
  EXPECT_EQ(name->rank, 12U);
  EXPECT_EQ(shard_name("a-rank-1-rank-0.pt")->stem, "a-rank-1");
}

TEST(ShardName, IsNothingForOtherNames) {
  for (const char* const name :
       {"checkpoint_last.pt", "checkpoint_last-shared.pt", "checkpoint_last-rank-.pt",
        "checkpoint_last-rank-1", "checkpoint_last-rank-1.pt.new", "checkpoint_last-rank-+1.pt",
        "checkpoint_last-rank--1.pt", "checkpoint_last-rank-1x.pt",
        "checkpoint_last-rank-99999999999999999999.pt", "checkpoint_last-rank-1/model.pt", ""})
    EXPECT_FALSE(shard_name(name)) << name;
}

}  // namespace
}  // namespace compat
