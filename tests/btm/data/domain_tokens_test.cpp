#include "btm/data/domain_tokens.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "btm/data/task_data.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using Names = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;

const Names kDomains{"fortunes", "jargon", "perl"};

compat::Dictionary dictionary_with(const Names& domains) {
  compat::Dictionary dictionary = compat::Dictionary::load(golden("data-bin/dict.txt"));
  add_domain_tokens(dictionary, domains);
  return dictionary;
}

SampleForm form_of(std::int64_t block_size) {
  return {"mmap", "none", block_size, false, std::nullopt, {true, "", ""}};
}

TaskData task_data(const compat::Dictionary& dictionary, const SampleForm& form) {
  return {dictionary, golden("data-bin/dict.txt"), form};
}

TEST(DomainTokens, BelongToTheTasksDomainsOrThoseGiven) {
  EXPECT_EQ(token_domains({}, kDomains, kDomains), Names{});
  EXPECT_EQ(token_domains({true, "", ""}, kDomains, kDomains), kDomains);
  EXPECT_EQ(token_domains({true, "", ""}, Names{"perl"}, Names{"jargon", "perl"}),
            (Names{"perl", "jargon"}));
  EXPECT_EQ(token_domains({true, "", "perl,cs"}, kDomains, {}), (Names{"perl", "cs"}));
}

TEST(DomainTokens, StandBehindTheWords) {
  const compat::Dictionary dictionary = dictionary_with({"perl", "s", "law"});
  EXPECT_EQ(dictionary.size(), 2114);  // <s> is there already
  EXPECT_EQ(dictionary.symbol(2112), "<perl>");
  EXPECT_EQ(domain_token_id(dictionary, {true, "", ""}, "perl"), 2112);
  EXPECT_EQ(domain_token_id(dictionary, {true, "", ""}, "s"), 0);
  EXPECT_EQ(domain_token_id(dictionary, {true, "law", ""}, "perl"), 2113);
}

TEST(DomainTokens, RefuseWhatContradictsItself) {
  expect_error<compat::UsageError>(
      [] {
        check_domain_tokens({false, "perl", ""}, true);
      },
      "--force-domain-token needs --add-domain-token");
  expect_error<compat::UsageError>(
      [] {
        check_domain_tokens({true, "", ""}, false);
      },
      "needs --task multidomain_language_modeling");
  expect_error<compat::UsageError>(
      [] {
        token_domains({true, "law", ""}, kDomains, {});
      },
      "--force-domain-token 'law' is none of the domains that have "
      "tokens: fortunes, jargon, perl");
  const compat::Dictionary dictionary = dictionary_with(kDomains);
  expect_error<compat::UsageError>(
      [&] {
        domain_token_id(dictionary, {true, "", ""}, "politics");
      },
      "the domain 'politics' has no token in the model");
  expect_error<compat::UsageError>([&] { task_data(dictionary, form_of(1)); },
                                   "--tokens-per-sample 1 leaves nothing");
  SampleForm both = form_of(64);
  both.add_bos_token = true;
  expect_error<compat::UsageError>([&] { task_data(dictionary, both); }, "exclude each other");
}

/// Samples of the DeMIX fork (scripts/make-demix-golden).
TEST(DomainTokens, BeginTheForksSamples) {
  const compat::Dictionary dictionary = dictionary_with(kDomains);
  const TaskData data = task_data(dictionary, form_of(64));
  std::ifstream in(golden("domain_token/samples.jsonl"));
  std::size_t rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const auto row = nlohmann::json::parse(line);
    const auto dataset =
        data.open(golden("data-bin") / row.at("domain").get<std::string>(), "train");
    const std::int64_t index = row.at("index");
    EXPECT_EQ(dataset->num_tokens(index), row.at("size"));
    LmSample sample;
    dataset->read(index, sample);
    EXPECT_EQ(sample.source, row.at("source").get<Ids>());
    EXPECT_EQ(sample.target, row.at("target").get<Ids>());
    EXPECT_EQ(sample.first_scored, 1);
  }
  EXPECT_EQ(rows, 12U);
}

}  // namespace
}  // namespace btm
