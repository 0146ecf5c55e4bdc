#include "btm/run/plan.h"

#include <gtest/gtest.h>

#include "btm/run/plan_file.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

constexpr std::string_view kPlan = R"(# a comment
[data]
domains = fortunes, jargon , perl
text = text/{domain}        # and another

[train]
updates = 100
lr = 2e-3
flags = --fp16  --num-threads 2
)";

TEST(Plan, FillsInWhatIsNotGiven) {
  const Plan plan = parse_plan(kPlan, "/work/my.plan");
  EXPECT_EQ(plan.output, "/work/my-out");
  EXPECT_EQ(plan.domains, (std::vector<std::string>{"fortunes", "jargon", "perl"}));
  EXPECT_EQ(plan.experts, plan.domains);
  EXPECT_EQ(plan.train, "/work/text/{domain}/train.txt");
  EXPECT_EQ(Plan::of_domain(plan.test, "perl"), "/work/text/perl/test.txt");
  EXPECT_EQ(plan.lr, 2e-3);
  EXPECT_EQ(plan.seed_updates(), 50);
  EXPECT_EQ(plan.train_flags, (std::vector<std::string>{"--fp16", "--num-threads", "2"}));
}

TEST(Plan, RoundsTheSeedPhaseToWholeUpdates) {
  const Plan plan = parse_plan(std::string(kPlan) + "seed_share = 0.333\n", "my.plan");
  EXPECT_EQ(plan.seed_updates(), 33);
}

TEST(Plan, TakesADataBinInsteadOfText) {
  const Plan plan = parse_plan(
      "[data]\nbin = bin\ndomains = a,b\n[train]\nupdates = 4\n[experts]\ndomains = b\ndense = "
      "no\n",
      "/p/x.plan");
  EXPECT_EQ(plan.data_bin, "/p/bin");
  EXPECT_EQ(plan.experts, std::vector<std::string>{"b"});
  EXPECT_FALSE(plan.dense);
}

/// A faulty plan, and the message about it.
struct BadPlan {
  const char* text;
  const char* phrase;
};

TEST(Plan, NamesTheLineOfWhatIsWrong) {
  const std::string good(kPlan);
  const std::vector<BadPlan> bad{
      {"updates = 3\n", "my.plan[line 1]: 'updates' comes before the first section"},
      {"[data\n", "my.plan[line 1]: '[data', expected ']'"},
      {"\n[da ta]\n", "my.plan[line 2]: '[da ta]', expected [section]"},
      {"[dat]\n", "my.plan[line 1]: unknown section [dat], did you mean [data]?"},
      {"[train]\n[train]\n", "my.plan[line 2]: section [train] was given before, on line 1"},
      {"[train]\nupdates\n", "my.plan[line 2]: 'updates', expected key = value"},
      {"[train]\nupdate = 3\n",
       "my.plan[line 2]: unknown key 'update' of [train], did you mean updates?"},
      {"[train]\nlr = 1\nlr = 2\n", "my.plan[line 3]: 'lr' was given before, on line 2"},
      {"[train]\nupdates = many\n",
       "my.plan[line 2]: updates is 'many', expected an integer of at least 2"},
      {"[train]\nupdates = 1\n", "updates is '1', expected an integer of at least 2"},
      {"[train]\nupdates = 99999999999999999999\n", "expected an integer"},
      {"[train]\nseed_share = 1.5\n", "seed_share is '1.5', expected a share from 0 to 1"},
      {"[train]\nseed_share = nan\n", "seed_share is 'nan', expected a share"},
      {"[train]\nlr = -1\n", "lr is '-1', expected a number of at least 0"},
      {"[experts]\ndense = perhaps\n", "dense is 'perhaps', expected yes or no"},
      {"[data]\ndomains = a,,b\n", "domains is 'a,,b', expected names separated by commas"},
      {"[data]\ntext =\n", "text is '', expected a path"},
      {"[data]\xFF\n", "my.plan[line 1]: byte 7 is not UTF-8"},
  };
  for (const BadPlan& plan : bad) {
    SCOPED_TRACE(plan.text);
    expect_error<compat::FormatError>([&] { parse_plan(plan.text, "my.plan"); }, plan.phrase);
  }
}

TEST(Plan, ChecksItsPartsTogether) {
  const std::vector<BadPlan> bad{
      {"", "has 0 domains, expected two or more"},
      {"[data]\ndomains = a\ntext = {domain}\n", "has 1 domains"},
      {"[data]\ndomains = a,b,a\ntext = {domain}\n", "domain a is repeated"},
      {"[data]\ndomains = a,../b\ntext = {domain}\n", "domain '../b' is not a name of a folder"},
      {"[data]\ndomains = a,b\n", "[data] has no train, expected text = FOLDER/{domain}"},
      {"[data]\ndomains = a,b\ntrain = {domain}\nvalid = {domain}\n", "[data] has no test"},
      {"[data]\ndomains = a,b\ntext = same\n", "[data] train is the same file for all domains"},
      {"[data]\ndomains = a,b\ntext = {domain}\nbin = x\n", "both a data-bin and text"},
      {"[data]\ndomains = a,b\ntext = {domain}\n", "[train] has no key updates"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 10\nseed_share = 0\n",
       "is 0, expected at least 1 update before and after"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 10\nseed_share = 1\n",
       "is 10, expected at least 1 update"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 10\n[experts]\ndomains = c\n",
       "[experts] names domain 'c'"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 10\n[evaluate]\nensembles = "
       "best\n",
       "[evaluate] names ensemble 'best'"},
  };
  for (const BadPlan& plan : bad) {
    SCOPED_TRACE(plan.text);
    expect_error<compat::FormatError>([&] { parse_plan(plan.text, "my.plan"); }, plan.phrase);
  }
}

TEST(PlanFile, ReadsEntriesWithTheirLines) {
  const auto sections = parse_plan_file("[a]\r\n x = 1 # one\n\n#[b]\n[b]\ny = a#b\nz =\n", "f");
  ASSERT_EQ(sections.size(), 2u);
  EXPECT_EQ(sections[0].entries.at(0).value, "1");
  EXPECT_EQ(sections[1].line, 5);
  EXPECT_EQ(sections[1].entries.at(0).value, "a#b") << "a comment begins after a blank";
  EXPECT_EQ(sections[1].entries.at(1).value, "");
  EXPECT_EQ(sections[1].entries.at(1).line, 7);
}

}  // namespace
}  // namespace btm
