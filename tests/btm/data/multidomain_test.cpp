#include "btm/data/multidomain.h"

#include <gtest/gtest.h>

#include "btm/data/token_blocks.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using Ids = std::vector<std::int64_t>;

class MultidomainTest : public testing::Test {
 protected:
  std::unique_ptr<LmDataset> blocks(const std::string& domain) const {
    return std::make_unique<TokenBlockDataset>(
        open_split(golden("data-bin") / domain, "test_" + domain, dictionary_, ""),
        SampleBreakMode::kNone, 128, 2);
  }
  compat::Dictionary dictionary_ = compat::Dictionary::load(golden("data-bin/dict.txt"));
};

TEST_F(MultidomainTest, SortsDomainsByName) {
  EXPECT_EQ(eval_domains(golden("data-bin"), "perl,fortunes"),
            (std::vector<std::string>{"fortunes", "perl"}));
  EXPECT_EQ(eval_domains(golden("data-bin"), ""),
            (std::vector<std::string>{"fortunes", "jargon", "perl", "politics"}));
}

TEST_F(MultidomainTest, NamesTheDomainsThatAreThere) {
  expect_error<compat::UsageError>([] { eval_domains(golden("data-bin"), "perl,medicine"); },
                                   "no folder 'medicine' (folders here: fortunes, jargon");
  expect_error<compat::IoError>([] { eval_domains(golden("eval.json"), ""); }, "is not a folder");
}

TEST_F(MultidomainTest, NamesTheSplitsThatAreThere) {
  expect_error<compat::IoError>(
      [&] { open_split(golden("data-bin/perl"), "train_perl", dictionary_, ""); },
      "no split 'train_perl' (splits here: test_perl, train, valid_perl");
}

TEST(RefuseSplit, ListsTheSplitsOfAllDomains) {
  expect_error<compat::IoError>(
      [] {
        refuse_split(golden("data-bin"), {"perl", "jargon"}, "valid", "--valid-subset");
      },
      "--valid-subset: no domain to evaluate has the split 'valid' (splits there: test_jargon, "
      "test_perl, train, valid_jargon, valid_perl)");
}

TEST_F(MultidomainTest, HoldsToTheImplementationAskedFor) {
  EXPECT_NE(open_split(golden("data-bin/perl"), "test_perl", dictionary_, "mmap"), nullptr);
  EXPECT_NE(open_split(golden("data-bin-impl/cached"), "valid", dictionary_, "lazy"), nullptr);
  expect_error<compat::UsageError>(
      [&] { open_split(golden("data-bin/perl"), "test_perl", dictionary_, "cached"); }, "is mmap");
  expect_error<compat::UsageError>(
      [&] { open_split(golden("data-bin/perl"), "test_perl", dictionary_, "mmapped"); },
      "expected raw, lazy");
}

TEST_F(MultidomainTest, RefusesAnIdOutsideTheDictionary) {
  expect_error<compat::FormatError>(
      [] { open_split(golden("data-bin/perl"), "test_perl", compat::Dictionary(), ""); },
      "dictionary");
}

TEST_F(MultidomainTest, RefusesADomainOfAnotherDictionary) {
  const btm_test::TempDir data;
  std::filesystem::create_directories(data / "perl");
  btm_test::write_file(data / "dict.txt", "a 1\nb 2\n");
  const auto check = [&] { check_domain_dictionary(data / "perl", data / "dict.txt"); };
  check();  // it does not need one itself
  for (const char* same : {"a 1\nb 2\n", "a 7\nb 7\nmadeupword0000 0\n"}) {
    btm_test::write_file(data / "perl/dict.txt", same);
    check();
  }
  btm_test::write_file(data / "perl/dict.txt", "b 2\na 1\n");
  expect_error<compat::FormatError>(check, "perl/dict.txt: has another dictionary than " +
                                               (data / "dict.txt").string() +
                                               ": line 1 is 'b', expected 'a'");
}

TEST_F(MultidomainTest, ConcatenatesDataSets) {
  const auto first = blocks("fortunes"), second = blocks("perl");
  std::vector<std::unique_ptr<LmDataset>> parts;
  parts.push_back(blocks("fortunes"));
  parts.push_back(blocks("perl"));
  const ConcatDataset all(std::move(parts));
  ASSERT_EQ(all.size(), first->size() + second->size());
  LmSample expected, found;
  for (const std::int64_t i : {std::int64_t{0}, first->size() - 1}) {
    first->read(i, expected);
    all.read(i, found);
    EXPECT_EQ(found.source, expected.source);
  }
  second->read(0, expected);
  all.read(first->size(), found);
  EXPECT_EQ(found.target, expected.target);
  EXPECT_EQ(all.num_tokens(all.size() - 1), second->num_tokens(second->size() - 1));
}

TEST_F(MultidomainTest, ResamplesWithReplacementAsTheRelease) {
  // golden/ensemble.json: 6936 tokens of fortunes' test set are scored, but eval_lm scores all
  // 6988.
  const ResamplingDataset resampled(blocks("fortunes"), /*seed=*/1, /*epoch=*/1);
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < resampled.size(); ++i) tokens += resampled.num_tokens(i);
  EXPECT_EQ(tokens, 6936);
}

}  // namespace
}  // namespace btm
