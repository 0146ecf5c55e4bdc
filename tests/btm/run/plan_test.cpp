#include "btm/run/plan.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "btm/cluster/cluster_notes.h"
#include "btm/run/plan_example.h"
#include "btm/run/plan_file.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

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

TEST(Plan, GivesACurveTwentyPoints) {
  const auto interval = [](const std::string& more) {
    return parse_plan("[data]\ndomains = a, b\ntext = {domain}\n[train]\n" + more, "my.plan")
        .shown_log_interval();
  };
  EXPECT_EQ(interval("updates = 800\n"), 20);
  EXPECT_EQ(interval("updates = 800\nseed_share = 0.25\n"), 10);
  EXPECT_EQ(interval("updates = 800\nseed_share = 0.75\n"), 10);
  EXPECT_EQ(interval("updates = 80000\n"), 50);
  EXPECT_EQ(interval("updates = 10\n"), 1);
  EXPECT_EQ(interval("updates = 10\nlog_interval = 7\n"), 7);
}

TEST(Plan, HoldsOutAShareOfEachDomain) {
  const std::string text =
      "[data]\ndomains = a, b\ntrain = {domain}.txt\nheld_out = 0.1\n[train]\nupdates = 4\n";
  const Plan plan = parse_plan(text, "/p/x.plan");
  EXPECT_TRUE(plan.has_text_held_out());
  EXPECT_EQ(plan.text_held_out, 0.1);
  EXPECT_EQ(plan.train, "/p/{domain}.txt");
  expect_error<compat::FormatError>(
      [] {
        parse_plan("[data]\ndomains = a, b\nbin = bin\nheld_out = 0.1\n[train]\nupdates = 4\n",
                   "x.plan");
      },
      "held_out goes with train alone");
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

/// The example with `mark` taken away from the lines `MARK KEY = VALUE`.
std::string uncommented(std::string_view mark) {
  std::string text;
  std::istringstream lines{std::string(plan_example())};
  for (std::string line; std::getline(lines, line);) {
    const bool is_key = line.starts_with(mark) && line.find(" =") != std::string::npos &&
                        line.find('\'') == std::string::npos;  // and no sentence about keys
    text += (is_key ? line.substr(mark.size()) : line) + "\n";
  }
  return text;
}

TEST(PlanExample, IsAPlanAndShowsTheDefaults) {
  const Plan plan = parse_plan(plan_example(), "/p/my.plan");
  EXPECT_EQ(plan.domains, (std::vector<std::string>{"law", "code"}));
  const Plan shown = parse_plan(uncommented("# "), "/p/my.plan"), defaults;
  EXPECT_EQ(shown.output, plan.output);
  EXPECT_EQ(shown.vocab_size, defaults.vocab_size);
  EXPECT_EQ(shown.arch, defaults.arch);
  EXPECT_EQ(shown.seed_share, defaults.seed_share);
  EXPECT_EQ(shown.batch_size, defaults.batch_size);
  EXPECT_EQ(shown.update_freq, defaults.update_freq);
  EXPECT_EQ(shown.lr, defaults.lr);
  EXPECT_EQ(shown.warmup_share, defaults.warmup_share);
  EXPECT_EQ(shown.log_interval, defaults.log_interval);
  EXPECT_EQ(shown.seed, defaults.seed);
  EXPECT_EQ(shown.experts, plan.experts);
  EXPECT_EQ(shown.dense, defaults.dense);
  EXPECT_EQ(shown.average, defaults.average);
  EXPECT_EQ(shown.along_run, defaults.along_run);
  EXPECT_EQ(shown.tune, defaults.tune);
  EXPECT_EQ(shown.mix.updates, defaults.mix.updates);
  EXPECT_EQ(shown.mix.router, defaults.mix.router);
  EXPECT_EQ(shown.mix.moe_router, defaults.mix.moe_router);
  EXPECT_EQ(shown.mix.train, defaults.mix.train);
  EXPECT_EQ(shown.ensembles, defaults.ensembles);
  EXPECT_EQ(shown.split, defaults.split);
  EXPECT_EQ(shown.prior_batches, defaults.prior_batches);
  EXPECT_EQ(shown.gpus, defaults.gpus);
  EXPECT_NE(uncommented("# "), plan_example()) << "or nothing was compared";
}

TEST(Plan, TakesTheNamesThatACommandGaveTheClusters) {
  const btm_test::TempDir folder;
  std::filesystem::create_directories(folder / "out/clusters");
  const std::string corpus =
      "[run]\noutput = out\n[data]\ncorpus = all.txt\n[clusters]\nnumber = 2\n";
  const std::string train = "[train]\nupdates = 4\n";
  const auto domains = [&](const std::string& text) {
    return parse_plan(text, (folder / "x.plan").string()).domains;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(domains(corpus + train), (Names{"c0", "c1"}));
  write_cluster_names((folder / "out/clusters/model").string(), "sum", {"law", "c1"});
  EXPECT_EQ(domains(corpus + train), (Names{"law", "c1"}));
  EXPECT_EQ(domains(corpus + "names = a, b\n" + train), (Names{"a", "b"})) << "the plan wins";
  write_cluster_names((folder / "out/clusters/model").string(), "sum", {"x", "y", "z"});
  EXPECT_EQ(domains(corpus + train), (Names{"c0", "c1"})) << "their number changes with this plan";
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
      {"[mix]\nupdates = -1\n", "updates is '-1', expected an integer of at least 0"},
      {"[mix]\nrouter = domains\n", "router is 'domains', expected random or domain or posterior"},
      {"[mix]\ntrain = experts\n", "train is 'experts', expected routers or all"},
      {"[mix]\nmoe_router = top3\n", "expected top1 or top2 or soft"},
      {"[mix]\nlr = inf\n", "lr is 'inf', expected a number of at least 0"},
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
      {"[data]\ndomains = a,b,a\ntext = {domain}\n",
       "my.plan[line 2]: [data] domain 'a' is repeated"},
      {"[data]\ndomains = a,../b\ntext = {domain}\n", "domain '../b' is not a name of a folder"},
      {"[data]\ndomains = a,b:c\ntext = {domain}\n", "domain 'b:c' is not a name of a folder"},
      {"[data]\ndomains = a,b=c\ntext = {domain}\n", "domain 'b=c' is not a name of a folder"},
      {"[data]\ndomains = a,b\x01\ntext = {domain}\n", "domain 'b\\x01' is not a name of a folder"},
      {"[data]\ndomains = a,b\xC2\x81\ntext = {domain}\n", "is not a name of a folder"},
      {"[data]\ndomains = a,-b\ntext = {domain}\n", "domain '-b' is not a name of a folder"},
      {"[data]\ndomains = a,b*\ntext = {domain}\n", "domain 'b*' is not a name of a folder"},
      {"[data]\ndomains = a,dict.txt\ntext = {domain}\n",
       "my.plan[line 2]: [data] domain 'dict.txt' has the name of a file that the run makes"},
      {"[data]\ndomains = a,dense\ntext = {domain}\n",
       "my.plan: [experts] names domain 'dense', but the table has another row of that name"},
      {"[data]\ndomains = a,seed\ntext = {domain}\n[experts]\ndense = no\n",
       "names domain 'seed', but the table has another row"},
      {"[data]\ndomains = a,average\ntext = {domain}\n", "names domain 'average', but the table"},
      {"[data]\ndomains = a,mixture\ntext = {domain}\n[mix]\nupdates = 3\n",
       "names domain 'mixture', but the table"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[experts]\ndomains = a, a\n",
       "my.plan[line 5]: [experts] names domain 'a' twice"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[evaluate]\nensembles = cached_prior, "
       "cached_prior\n",
       "my.plan[line 5]: [evaluate] names ensemble 'cached_prior' twice"},
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
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 100\n[experts]\n"
       "along_run = 6\n",
       "along_run is 6, and the baseline has 5 checkpoints after the seed phase, one every 10 "
       "updates"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 100\n[experts]\n"
       "along_run = 1\ndense = no\n",
       "along_run averages checkpoints of the baseline: dense is no"},
      {"[data]\ndomains = a,b\ntext = {domain}\n[train]\nupdates = 10\n[evaluate]\nensembles = "
       "best\n",
       "[evaluate] names ensemble 'best'"},
  };
  for (const BadPlan& plan : bad) {
    SCOPED_TRACE(plan.text);
    expect_error<compat::FormatError>([&] { parse_plan(plan.text, "my.plan"); }, plan.phrase);
  }
}

TEST(Plan, LetsADomainHaveTheNameOfARowThatIsNotThere) {
  const auto domains = [](const std::string& names, const std::string& experts) {
    return parse_plan("[data]\ndomains = " + names + "\ntext = {domain}\n[train]\nupdates = 4\n" +
                          "[experts]\n" + experts,
                      "my.plan")
        .domains.size();
  };
  EXPECT_EQ(domains("dense, average", "dense = no\naverage = no\n"), 2u);
  EXPECT_EQ(domains("a, seed", "domains = a\n"), 2u) << "no expert";
  EXPECT_EQ(domains("j\xC3\xBArid.1_2-3, mixture", ""), 2u);
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
