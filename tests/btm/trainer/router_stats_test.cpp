#include "btm/trainer/router_stats.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(RouterStats, AddUpAndTravelAsBytes) {
  RouterStats a{4, 2, 1, {{1, 3}, {2, 2}}};
  const RouterStats b = RouterStats::from_bytes(RouterStats{6, 3, 2, {{5, 1}, {0, 6}}}.bytes());
  a.add(b);
  EXPECT_EQ(a.tokens, 10);
  EXPECT_EQ(a.balance, 5);
  EXPECT_EQ(a.z, 3);
  EXPECT_EQ(a.loads, (std::vector<std::vector<double>>{{6, 4}, {2, 8}}));
  const RouterStats dropped = RouterStats::from_bytes(RouterStats{1, 1, 1, {{}, {4, 2}}}.bytes());
  EXPECT_EQ(dropped.loads, (std::vector<std::vector<double>>{{}, {4, 2}}));
  RouterStats nothing;
  nothing.add(RouterStats::from_bytes(RouterStats{}.bytes()));
  EXPECT_EQ(nothing.tokens, 0);
  EXPECT_TRUE(RouterStats::from_bytes("short").loads.empty());
}

TEST(RouterStats, LogTheBusiestExpertOfEachLayer) {
  MetersDict meters;
  RouterStats{}.log(meters);
  EXPECT_TRUE(meters.row().empty());
  RouterStats{10, 11, 20, {{6, 14}, {10, 10}}}.log(meters);
  EXPECT_NEAR(*meters.find("lb_loss")->mean(), 1.1, 1e-12);
  EXPECT_NEAR(*meters.find("z_loss")->mean(), 2, 1e-12);
  EXPECT_NEAR(*meters.find("load_0")->mean(), 0.7, 1e-12);
  EXPECT_NEAR(*meters.find("load_1")->mean(), 0.5, 1e-12);
}

}  // namespace
}  // namespace btm
