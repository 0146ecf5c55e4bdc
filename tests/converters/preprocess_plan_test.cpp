#include <gtest/gtest.h>

#include "compat/base/error.h"
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
      for (const std::string split : {"/train", "/valid", "/test"})
        write_file(folder_ / (domain + split), "a\n");
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
  EXPECT_EQ(tasks[3].inputs.files.size(), 1U);
}

TEST_F(PreprocessPlan, JoinsTrainingFiles) {
  options_.trainpref = at("t") + "," + at("v0");
  EXPECT_EQ(plan_splits(options_).front().inputs.files.size(), 2U);
}

TEST_F(PreprocessPlan, PutsDomainsIntoTheirFolders) {
  options_.domains = "perl,law";
  options_.trainpref = at("{domain}/train");
  options_.validpref = at("{domain}/valid");
  const auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 4U);
  EXPECT_EQ(tasks[1].outputs.front(), "perl/valid_perl");
  EXPECT_EQ(tasks[2].outputs.front(), "law/train");
  EXPECT_EQ(tasks[2].inputs.files.front(), folder_ / "law/train");
}

TEST_F(PreprocessPlan, SplitsDomainsOfOneFile) {
  options_.domains = "perl";
  options_.trainpref = at("{domain}/train");
  auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].outputs,
            (std::vector<std::string>{"perl/train", "perl/valid_perl", "perl/test_perl"}));
  options_.test_fraction = 0;
  tasks = plan_splits(options_);
  EXPECT_EQ(tasks[0].outputs, (std::vector<std::string>{"perl/train", "perl/valid_perl", ""}));
}

TEST_F(PreprocessPlan, TakesFoldersAndPatterns) {
  std::filesystem::create_directories(folder_ / "books/a");
  for (const char* const name : {"books/two.txt", "books/a/one.txt.gz", "books/rows.jsonl",
                                 "books/cover.png", "books/.hidden.txt"})
    write_file(folder_ / name, "a\n");
  options_.trainpref = at("books") + "," + at("v0");
  options_.validpref = at("v[01]") + "," + at("t");
  const auto tasks = plan_splits(options_);
  ASSERT_EQ(tasks.size(), 3U);
  const TextInputs& train = tasks[0].inputs;
  EXPECT_EQ(train.files, (std::vector<std::filesystem::path>{
                             folder_ / "books/a/one.txt.gz", folder_ / "books/rows.jsonl",
                             folder_ / "books/two.txt", folder_ / "v0"}));
  EXPECT_EQ(train.of_folders.size(), 3U);
  EXPECT_EQ(train.skipped, 1U);
  EXPECT_EQ(tasks[1].outputs.front(), "valid");  // a pattern is one set
  EXPECT_EQ(tasks[1].inputs.files,
            (std::vector<std::filesystem::path>{folder_ / "v0", folder_ / "v1"}));
  EXPECT_EQ(tasks[2].outputs.front(), "valid1");
}

TEST_F(PreprocessPlan, RefusesWhatDoesNotFit) {
  expect_usage("--trainpref is needed");
  options_.trainpref = at("nothing");
  expect_error<compat::IoError>([&] { plan_splits(options_); },
                                "nothing: cannot open: No such file");
  options_.trainpref = folder_.path().string();
  expect_error<compat::IoError>([&] { plan_splits(options_); },
                                "no text in this folder, expected files named .txt or .jsonl");
  options_.trainpref = at("*.txt");
  expect_error<compat::IoError>([&] { plan_splits(options_); },
                                "*.txt: no file matches this pattern");
  options_.trainpref = "/dev/null";
  expect_error<compat::IoError>([&] { plan_splits(options_); }, "not a regular file");
  options_.trainpref = at("t");
  options_.valid_fraction = 0.5;
  options_.test_fraction = 0.5;
  expect_usage("leave nothing to train on");
  options_.test_fraction = 0.1;
  options_.validpref = at("v0");
  expect_usage("expected no --validpref");
  options_.valid_fraction = options_.test_fraction = -1;
  options_.domains = "perl";
  expect_usage("contains no {domain}");
  options_.trainpref = options_.validpref = at("{domain}/train");
  for (const auto& [names, phrase] : {std::pair{"perl,perl", "occurs twice"},
                                      {"../x", "cannot be a folder's name"},
                                      {"..", "cannot be a folder's name"},
                                      {",", "names no domain"}}) {
    options_.domains = names;
    expect_usage(phrase);
  }
}

}  // namespace
}  // namespace converters
