#include "btm/run/lineup.h"

#include <gtest/gtest.h>

#include "btm/run/build_steps.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::TempDir;
using btm_test::write_file;

constexpr const char* kRest = "text = text/{domain}\n[train]\nupdates = 4\n";

Plan plan_of(const std::string& domains, const std::string& more = {},
             const std::string& file = "/here/my.plan") {
  return parse_plan("[data]\ndomains = " + domains + "\n" + kRest + more, file);
}

/// A text's digest is its path in the project, so that a moved project has the same ones.
std::string by_place(const std::filesystem::path& file) {
  const std::string path = file.string();
  const std::string digest = path.substr(path.find("/text/") + 1);
  return std::string(64 - digest.size() % 64, '0') + digest;
}

std::map<std::string, std::string> keys_of(const Plan& plan, const Lineup& lineup,
                                           const DigestOf& digest = by_place) {
  const StepGraph graph = build_steps(plan, lineup);
  const auto keys = graph.keys(digest);
  std::map<std::string, std::string> by_name;
  for (std::size_t i = 0; i < keys.size(); ++i) by_name[graph.steps()[i].name] = keys[i];
  return by_name;
}

TEST(KeysOfAPlan, HoldNoPath) {
  const Plan here = plan_of("a, b"), there = plan_of("a, b", "", "/there/other/my.plan");
  EXPECT_EQ(keys_of(here, lineup_of(here)), keys_of(there, lineup_of(there)));
}

TEST(KeysOfAPlan, HoldTheNamesOfDomainsOnlyWhereResultsDo) {
  const Plan before = plan_of("a, b"), after = plan_of("a, law");
  const auto old_keys = keys_of(before, lineup_of(before));
  const auto keys = keys_of(after, lineup_of(after), [](const std::filesystem::path& file) {
    std::string path = file.string();
    if (const auto at = path.find("/law/"); at != std::string::npos) path.replace(at, 5, "/b/");
    return by_place(path);
  });
  for (const char* same : {"tokeniser", "dictionary", "seed", "branch", "dense", "average"})
    EXPECT_EQ(old_keys.at(same), keys.at(same)) << same;
  EXPECT_EQ(old_keys.at("expert.b"), keys.at("expert.law"));
  EXPECT_EQ(old_keys.at("preprocess.b"), keys.at("preprocess.law"));
  EXPECT_NE(old_keys.at("evaluate"), keys.at("evaluate"));
}

TEST(Founding, KeepsTheStepsOfADomainLessWhenOneMoreIsThere) {
  const Plan before = plan_of("a, b"), after = plan_of("a, b, c");
  const auto old_keys = keys_of(before, lineup_of(before));
  const Founding founding = founding_of(before, lineup_of(before), old_keys.at("seed"), by_place);
  const Lineup lineup = lineup_of(after, founding, by_place);
  const auto keys = keys_of(after, lineup);
  for (const char* same : {"tokeniser", "dictionary", "preprocess.a", "seed", "branch", "dense",
                           "expert.a", "expert.b"})
    EXPECT_EQ(old_keys.at(same), keys.at(same)) << same;
  for (const char* other : {"average", "evaluate", "report"})
    EXPECT_NE(old_keys.at(other), keys.at(other)) << other;
  EXPECT_TRUE(keys.contains("expert.c"));
  EXPECT_NE(keys_of(after, lineup_of(after)).at("seed"), old_keys.at("seed"));
  EXPECT_EQ(tokens_of_seed_update(after, lineup), 2 * tokens_of_expert_update(after));
}

TEST(Founding, FindsARenamedDomainByItsTexts) {
  const Plan before = plan_of("a, b"), after = plan_of("law, a");
  const Founding founding = founding_of(before, lineup_of(before), "key", by_place);
  const Lineup lineup = lineup_of(after, founding, [](const std::filesystem::path& file) {
    std::string path = file.string();
    if (const auto at = path.find("/law/"); at != std::string::npos) path.replace(at, 5, "/b/");
    return by_place(path);
  });
  EXPECT_EQ(lineup.founders, (std::vector<std::string>{"a", "law"})) << "in the founders' order";
  EXPECT_EQ(lineup.domains, (std::vector<std::string>{"law", "a"}));
}

TEST(Founding, KeepsTheSeedModelOfADomainThatIsNoLongerThere) {
  const Plan before = plan_of("a, b, c"), after = plan_of("a, c");
  const auto old_keys = keys_of(before, lineup_of(before));
  const Founding founding = founding_of(before, lineup_of(before), old_keys.at("seed"), by_place);
  const DigestOf refuses_b = [](const std::filesystem::path& file) {
    EXPECT_EQ(file.string().find("/text/b/"), std::string::npos) << "its text may be gone";
    return by_place(file);
  };
  const Lineup lineup = lineup_of(after, founding, refuses_b);
  const auto keys = keys_of(after, lineup, with_founding(after, founding, refuses_b));
  EXPECT_EQ(keys.at("seed"), old_keys.at("seed"));
  EXPECT_EQ(keys.at("expert.c"), old_keys.at("expert.c"));
  EXPECT_FALSE(keys.contains("expert.b"));
  EXPECT_EQ(lineup.evaluated, (std::vector<std::string>{"a", "c"}));
}

TEST(Founding, IsWrittenAndRead) {
  const TempDir dir;
  const Plan plan = plan_of("a, b", "[experts]\ndomains = b\n");
  write_founding(dir / "founding", founding_of(plan, lineup_of(plan), "key",
                                               [](const auto&) { return std::string(64, 'a'); }));
  const auto read = read_founding(dir / "founding");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seed_key, "key");
  ASSERT_EQ(read->domains.size(), 2u);
  EXPECT_FALSE(read->domains[0].has_expert);
  EXPECT_EQ(read->domains[1].digests.size(), 3u);
  EXPECT_FALSE(read_founding(dir / "none"));
  for (const char* damaged :
       {"", "[]", "{}", R"({"seed_key":1,"domains":[]})", R"({"seed_key":"k","domains":[1]})",
        R"({"seed_key":"k","domains":[{"name":"../x","digests":[]}]})",
        R"({"seed_key":"k","domains":[{"name":"a","digests":["short"]}]})"}) {
    write_file(dir / "founding", damaged);
    EXPECT_FALSE(read_founding(dir / "founding")) << damaged;
  }
}

TEST(Lineup, FollowsSeedDomains) {
  const Plan some = plan_of("a, b, c", "seed_domains = a, c\n");
  EXPECT_EQ(lineup_of(some).founders, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(lineup_of(some).trained, (std::vector<std::string>{"a", "b", "c"}));
  const Plan all = plan_of("a, b, c", "seed_domains = all\n");
  EXPECT_EQ(lineup_of(all).founders, all.domains);
}

}  // namespace
}  // namespace btm
