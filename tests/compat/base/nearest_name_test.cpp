#include "compat/base/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace compat {
namespace {

TEST(NearestName, FindsOnlyWhatIsNear) {
  const std::vector<std::string> names{"train", "eval-lm", "inspect"};
  EXPECT_EQ(nearest_name("trian", names), "train");
  EXPECT_EQ(nearest_name("inspekt", names), "inspect");
  EXPECT_EQ(nearest_name("zebra", names), "");
  EXPECT_EQ(nearest_name(std::string(1'000'000, 'x'), names), "");
}

}  // namespace
}  // namespace compat
