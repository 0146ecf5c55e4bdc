#include <gtest/gtest.h>

#include <array>

#include "compat/error.h"
#include "converters/preprocess.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using btm_test::write_file;

class PreprocessPlan : public ::testing::Test {
 protected:
  PreprocessPlan() {
    for (const std::string domain : {"perl", "law"}) {
      std::filesystem::create_directory(folder_ / domain);
      for (const std::string split : {"/train", "/valid", "/test"}) write_file(folder_ / (domain + split), "a\n");
    }
    for (const char* const name : {"t", "v0", "v1", "a,b"}) write_file(folder_ / name, "a\n");
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  void expect_usage(const std::string& phrase) {
    expect_error<compat::UsageError>([&] { plan_splits(options_); }, phrase);
  }

  TempDir folder_;
  PreprocessOptions options_;
};

TEST_F(PreprocessPlan, NumbersValidationSetsAsFairseq) {
  options_.trainpref = at("t");
  options_.validpref = at("v0") + "," + at("v1");
  options_.testpref = at("a,b");  // one file whose name has a comma
  const auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 4U);
  EXPECT_TRUE(tasks[0].train);
  EXPECT_EQ(tasks[0].outputs, std::vector<std::string>{"train"});
  EXPECT_EQ(tasks[1].outputs.front(), "valid");
  EXPECT_EQ(tasks[2].outputs.front(), "valid1");
  EXPECT_EQ(tasks[3].outputs.front(), "test");
  EXPECT_EQ(tasks[3].inputs.size(), 1U);
}

TEST_F(PreprocessPlan, JoinsTrainingFiles) {
  options_.trainpref = at("t") + "," + at("v0");
  EXPECT_EQ(plan_splits(options_).front().inputs.size(), 2U);
}

TEST_F(PreprocessPlan, PutsDomainsIntoTheirFolders) {
  options_.domains = "perl,law";
  options_.trainpref = at("{domain}/train");
  options_.validpref = at("{domain}/valid");
  const auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 4U);
  EXPECT_EQ(tasks[1].outputs.front(), "perl/valid_perl");
  EXPECT_EQ(tasks[2].outputs.front(), "law/train");
  EXPECT_EQ(tasks[2].inputs.front(), folder_ / "law/train");
}

TEST_F(PreprocessPlan, SplitsDomainsOfOneFile) {
  options_.domains = "perl";
  options_.trainpref = at("{domain}/train");
  auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].outputs, (std::vector<std::string>{"perl/train", "perl/valid_perl", "perl/test_perl"}));
  options_.test_fraction = 0;
  tasks = plan_splits(options_);
  EXPECT_EQ(tasks[0].outputs, (std::vector<std::string>{"perl/train", "perl/valid_perl", ""}));
}

TEST_F(PreprocessPlan, DrawsTheSameSplitForTheSameSeed) {
  const SplitTask task{{}, {"train", "valid", "test"}, 0.1, 0.05, true};
  std::array<int, 3> counts{};
  int same_with_other_seed = 0;
  for (std::uint64_t offset = 0; offset < 20'000; ++offset) {
    const std::size_t split = split_of(task, 1, 0, offset);
    EXPECT_EQ(split, split_of(task, 1, 0, offset));
    ++counts[split];
    same_with_other_seed += split == split_of(task, 2, 0, offset);
  }
  // Binomial: standard deviations 42 and 31; with another seed about 0.85^2 + 0.1^2 + 0.05^2 agree.
  EXPECT_NEAR(counts[1], 2000, 200);
  EXPECT_NEAR(counts[2], 1000, 150);
  EXPECT_NEAR(same_with_other_seed, 14'700, 400);
}

TEST_F(PreprocessPlan, RefusesWhatDoesNotFit) {
  expect_usage("--trainpref is needed");
  options_.trainpref = at("nothing");
  expect_error<compat::IoError>([&] { plan_splits(options_); }, "nothing: cannot open: No such file");
  options_.trainpref = folder_.path().string();
  expect_error<compat::IoError>([&] { plan_splits(options_); }, "not a regular file");
  options_.trainpref = at("t");
  options_.valid_fraction = 0.5;
  options_.test_fraction = 0.5;
  expect_usage("leave nothing to train on");
  options_.test_fraction = 0.1;
  options_.validpref = at("v0");
  expect_usage("do not go with --validpref");
  options_.valid_fraction = options_.test_fraction = -1;
  options_.domains = "perl";
  expect_usage("holds no {domain}");
  options_.trainpref = options_.validpref = at("{domain}/train");
  for (const auto& [names, phrase] : {std::pair{"perl,perl", "is there twice"}, {"../x", "cannot be a folder's name"}, {"..", "cannot be a folder's name"}, {",", "names no domain"}}) {
    options_.domains = names;
    expect_usage(phrase);
  }
}

}  // namespace
}  // namespace converters
