#include "btm/machine/examination.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(ExamineMachine, HasOneFindingForEachThing) {
  std::string names;
  for (const Finding& finding : examine_machine("/")) {
    names += finding.name + " ";
    EXPECT_FALSE(finding.found.empty()) << finding.name;
    EXPECT_EQ(finding.found.find('\n'), std::string::npos);
    EXPECT_EQ(finding.fitness == Fitness::kGood, finding.advice.empty()) << finding.name;
  }
  EXPECT_EQ(names, "LibTorch processor threads memory disk GPU NCCL Slurm ");
}

TEST(ExamineThreads, NoticesMoreThreadsThanCores) {
  EXPECT_EQ(examine_threads(2, 2, "", true).fitness, Fitness::kGood);
  EXPECT_EQ(examine_threads(2, 64, "", true).found,
            "2 of 64 cores (affinity or the container's quota); waiting threads give way");
  EXPECT_EQ(examine_threads(2, 64, "2", true).fitness, Fitness::kGood);
  const Finding many = examine_threads(2, 64, "64", true);
  EXPECT_EQ(many.fitness, Fitness::kNotice);
  EXPECT_NE(many.advice.find("unset OMP_NUM_THREADS"), std::string::npos);
  EXPECT_EQ(examine_threads(2, 2, "", false).fitness, Fitness::kNotice);
}

TEST(ExamineMemory, SaysWhatIsEnoughForWhat) {
  EXPECT_EQ(examine_memory(16'000'000'000, 8'000'000'000).fitness, Fitness::kGood);
  EXPECT_EQ(examine_memory(16'000'000'000, 1'000'000'000).fitness, Fitness::kNotice);
  EXPECT_EQ(examine_memory(16'000'000'000, 100'000'000).fitness, Fitness::kUnfit);
}

TEST(ExamineDisk, NoticesLittleSpace) {
  EXPECT_EQ(examine_disk("/x", 50'000'000'000).found, "50.0 GB free in /x");
  EXPECT_EQ(examine_disk("/x", 1'000'000'000).fitness, Fitness::kNotice);
  EXPECT_EQ(examine_disk("/x", 0).fitness, Fitness::kUnfit);
}

TEST(ExamineGpu, NoticesABuildThatCannotUseIt) {
  EXPECT_EQ(examine_gpu(false, false).fitness, Fitness::kGood);
  EXPECT_EQ(examine_gpu(true, true).fitness, Fitness::kGood);
  EXPECT_EQ(examine_gpu(true, false).advice, "build with -DBTM_CUDA=ON");
}

}  // namespace
}  // namespace btm
