#include "btm/distributed/gradient_reducer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <string>

namespace {

using btm::Communicator;
using btm::GradientReducer;

/// A group of `size` ranks with equal gradients. Records the sums that it is asked for.
class MirrorGroup final : public Communicator {
 public:
  MirrorGroup(std::string name, int size, std::vector<std::string>& log)
      : name_(std::move(name)), size_(size), log_(log) {}
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return size_; }
  std::unique_ptr<Pending> start_all_reduce(const at::Tensor& tensor) override {
    log_.push_back(name_ + " sums " + std::to_string(tensor.storage_offset()) + "+" +
                   std::to_string(tensor.numel()));
    return std::make_unique<Sum>(*this, tensor);
  }
  void broadcast(const at::Tensor&, int) override {}
  std::vector<std::string> all_gather(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
  std::unique_ptr<Communicator> subgroup(const std::vector<int>&) override { return nullptr; }

 private:
  struct Sum final : Pending {
    Sum(MirrorGroup& group, const at::Tensor& tensor) : group_(group), tensor_(tensor) {}
    void wait() override {
      tensor_.mul_(group_.size_);
      group_.log_.push_back("done");
    }
    MirrorGroup& group_;
    at::Tensor tensor_;
  };
  std::string name_;
  int size_;
  std::vector<std::string>& log_;
};

using Log = std::vector<std::string>;

TEST(GradientReducer, StartsABucketWhenItsLastGradientIsThere) {
  Log log;
  MirrorGroup world("all", 2, log);
  const at::Tensor gradients = at::ones({64});
  // Slots of 10 with a gap: 0..10, 16..26, 32..42, 48..58; two of them fit in 26 floats.
  GradientReducer reducer(gradients,
                          {{0, 10, &world}, {16, 10, &world}, {32, 10, &world}, {48, 10, &world}},
                          26 * 4, 2);
  EXPECT_EQ(reducer.num_buckets(), 2U);
  reducer.ready(3, 4);
  EXPECT_EQ(log, Log{});
  reducer.ready(2, 3);
  EXPECT_EQ(log, Log{"all sums 32+26"});
  reducer.ready(0, 2);
  EXPECT_EQ(log, (Log{"all sums 32+26", "all sums 0+26"}));
  reducer.finish();
  EXPECT_EQ(log.size(), 4U);
  EXPECT_TRUE(gradients.narrow(0, 0, 26).eq(2).all().item<bool>());
  EXPECT_TRUE(gradients.narrow(0, 32, 26).eq(2).all().item<bool>());
}

TEST(GradientReducer, KeepsTheOrderOfBucketsWhateverIsReadyFirst) {
  Log log;
  MirrorGroup world("all", 2, log);
  GradientReducer reducer(at::ones({30}), {{0, 10, &world}, {10, 10, &world}, {20, 10, &world}}, 0,
                          2);
  for (int round = 0; round < 2; ++round) {
    log.clear();
    reducer.ready(0, 1);
    reducer.ready(1, 2);
    EXPECT_EQ(log, Log{});
    if (round == 0)
      reducer.ready(2, 3);  // the second round does not announce it: a rank without a batch
    reducer.finish();
    log.resize(3);
    EXPECT_EQ(log, (Log{"all sums 20+10", "all sums 10+10", "all sums 0+10"}));
  }
}

TEST(GradientReducer, SumsEveryParameterOverItsOwnGroup) {
  Log log;
  MirrorGroup world("all", 4, log), expert("expert", 2, log);
  const at::Tensor gradients = at::ones({40});
  GradientReducer reducer(gradients,
                          {{0, 10, &world}, {10, 10, &expert}, {20, 10, &expert}, {30, 10, &world}},
                          1 << 20, 4);
  reducer.ready(0, 4);
  EXPECT_EQ(log, (Log{"all sums 30+10", "expert sums 10+20", "all sums 0+10"}));
  reducer.finish();
  EXPECT_TRUE(gradients.narrow(0, 0, 10).eq(4).all().item<bool>());
  EXPECT_TRUE(gradients.narrow(0, 10, 20).eq(2).all().item<bool>());
  EXPECT_TRUE(gradients.narrow(0, 30, 10).eq(4).all().item<bool>());
}

TEST(GradientReducer, DividesHalvesBeforehandSoThatTheirSumDoesNotOverflow) {
  Log log;
  MirrorGroup world("all", 8, log);
  const at::Tensor gradients = at::full({10}, 60000, at::kHalf);
  GradientReducer reducer(gradients, {{0, 10, &world}}, 1 << 20, 8);
  reducer.ready(0, 1);
  reducer.finish();
  EXPECT_TRUE(gradients.eq(60000).all().item<bool>());
  EXPECT_EQ(reducer.factor(), 8);
  EXPECT_EQ(GradientReducer(at::ones({10}), {{0, 10, &world}}, 0, 8).factor(), 1);
}

TEST(GradientReducer, TakesAParameterThatIsLargerThanABucket) {
  Log log;
  MirrorGroup world("all", 2, log);
  GradientReducer reducer(at::arange(30, at::kFloat),
                          {{0, 5, &world}, {5, 20, &world}, {25, 5, &world}}, 40, 2);
  reducer.ready(0, 3);
  EXPECT_EQ(log, (Log{"all sums 25+5", "all sums 5+20", "all sums 0+5"}));
  reducer.finish();
}

}  // namespace
