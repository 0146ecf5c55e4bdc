#include "btm/ensemble/cluster_prior.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using Origins = std::vector<std::optional<ClusterOrigin>>;

const std::string kModel(64, 'a');
const std::vector<std::string> kThree{"x.pt", "y.pt", "z.pt"};

std::vector<std::size_t> match(const Origins& origins) {
  return experts_of_clusters(origins, kThree, kModel);
}

TEST(ExpertsOfClusters, AreThoseThatWereTrainedForThem) {
  const std::vector<std::size_t> in_order{0, 1, 2};
  EXPECT_EQ(match({}), in_order);
  EXPECT_EQ(match({std::nullopt, std::nullopt, std::nullopt}), in_order);
  EXPECT_EQ(match({std::nullopt, ClusterOrigin{1, {}}, std::nullopt}), in_order);
  EXPECT_EQ(match({ClusterOrigin{2, {}}, ClusterOrigin{0, kModel}, ClusterOrigin{1, {}}}),
            (std::vector<std::size_t>{1, 2, 0}));
}

TEST(ExpertsOfClusters, RefusesExpertsThatDoNotFit) {
  const auto refused = [](const Origins& origins, const std::string& phrase) {
    btm_test::expect_error<compat::UsageError>([&] { match(origins); }, phrase);
  };
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, std::string(64, 'b')}, ClusterOrigin{2, {}}},
          "expert y.pt was trained for cluster 1 of another cluster model than --cluster-model");
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, {}}, ClusterOrigin{3, {}}},
          "expert z.pt was trained for cluster 3, but --cluster-model has 3");
  refused({ClusterOrigin{0, {}}, ClusterOrigin{1, {}}, ClusterOrigin{1, {}}},
          "expert z.pt was trained for cluster 1, as expert y.pt was");
  refused({ClusterOrigin{1, {}}, std::nullopt, ClusterOrigin{2, {}}},
          "expert y.pt does not tell its cluster");
}

}  // namespace
}  // namespace btm
