#include "btm/run/lineup.h"

#include <gtest/gtest.h>

#include <algorithm>

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

/// The keys where all files have the same bytes.
std::map<std::string, std::string> keys_of_equal_files(const std::string& data) {
  const Plan plan = parse_plan("[data]\n" + data + "\n[train]\nupdates = 4\n", "/here/my.plan");
  return keys_of(plan, lineup_of(plan), [](const auto&) { return std::string(64, 'a'); });
}

TEST(KeysOfAPlan, TellJsonLinesFromPlainTextByTheEnding) {
  const std::string files =
      "domains = a, b\ntrain = {domain}.txt\nvalid = v{domain}\ntest = t{domain}";
  const auto renamed = [&](const std::string& old, const std::string& now) {
    std::string data = files;
    return keys_of_equal_files(data.replace(data.find(old), old.size(), now));
  };
  const auto plain = keys_of_equal_files(files);
  for (const char* ending : {".jsonl", ".ndjson", ".json", ".jsonl.gz", ".json.zst"})
    for (const char* step : {"tokeniser", "dictionary", "preprocess.a", "seed", "expert.a"})
      EXPECT_NE(renamed(".txt", ending).at(step), plain.at(step)) << step << " " << ending;
  for (const char* same : {".text", ".txt.gz", "", ".jsonl.bak"})
    EXPECT_EQ(renamed(".txt", same), plain) << same;
  for (const char* split : {"v{domain}", "t{domain}"}) {
    const auto keys = renamed(split, std::string(split) + ".jsonl");
    EXPECT_EQ(keys.at("tokeniser"), plain.at("tokeniser")) << split;
    EXPECT_NE(keys.at("preprocess.a"), plain.at("preprocess.a")) << split;
  }
  const std::string held_out = "domains = a, b\nheld_out = 0.1\ntrain = {domain}";
  EXPECT_NE(keys_of_equal_files(held_out).at("preprocess.a"),
            keys_of_equal_files(held_out + ".jsonl").at("preprocess.a"));
  const std::string model = "\n[tokeniser]\nmodel = spm.model";
  EXPECT_NE(keys_of_equal_files(held_out + model).at("dictionary"),
            keys_of_equal_files(held_out + ".jsonl" + model).at("dictionary"));
  const std::string corpus = "corpus = all", clusters = "\n[clusters]\nnumber = 2";
  EXPECT_NE(keys_of_equal_files(corpus + clusters).at("clusters"),
            keys_of_equal_files(corpus + ".jsonl" + clusters).at("clusters"));
}

TEST(KeysOfAPlan, HoldTheFilesThatFlagsName) {
  const TempDir dir;
  const auto file = (dir / "start.pt").string();
  write_file(file, "a model");
  std::filesystem::create_directories(dir / "my-out");
  write_file(dir / "my-out/own.pt", "of a step");
  const auto readers = [&](const std::string& flags, const std::filesystem::path& read) {
    std::vector<std::string> names;
    const StepGraph graph =
        build_steps(plan_of("a, b", "flags = --cpu " + flags + "\n", (dir / "my.plan").string()));
    for (const Step& step : graph.steps())
      if (std::ranges::find(step.inputs, read) != step.inputs.end()) names.push_back(step.name);
    return names;
  };
  const std::vector<std::string> trainings{"seed", "expert.a", "expert.b", "dense"};
  EXPECT_EQ(readers("--finetune-from-model " + file, file), trainings);
  EXPECT_EQ(readers("--ema-seed-model=../start.pt", file), trainings) << "from the run's folder";
  EXPECT_TRUE(readers("--log-file " + file, file).empty()) << "it is written";
  EXPECT_TRUE(readers("--restore-file own.pt", dir / "my-out/own.pt").empty());
  EXPECT_TRUE(readers("--restore-file " + file + "x", file + "x").empty()) << "not there";
}

/// Runs that earlier versions finished stay done.
TEST(KeysOfAPlan, OfPlainTextStayAsTheyWere) {
  const auto keys = keys_of_equal_files("domains = a, b\ntext = {domain}");
  EXPECT_EQ(keys.at("tokeniser"),
            "ee3689408096de643a44f9c419e95f7d97ec36902abc52cc44edd7a4442daf99");
  EXPECT_EQ(keys.at("preprocess.a"),
            "ebf7f81077ce138348ba81e87a0e0eb01955a19ee5cbd6bee90be23abf0bf5b1");
  EXPECT_EQ(keys.at("evaluate"),
            "57df8906f688520dfb8196bca4cdf666c4cca58801db7b39c65b10e98ac9f980");
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
