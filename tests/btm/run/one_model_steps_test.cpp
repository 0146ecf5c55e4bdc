#include "btm/run/one_model_steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "btm/run/build_steps.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

constexpr const char* kPlan =
    "[data]\ndomains = law, perl\ntext = text/{domain}\n[train]\nupdates = 300\n";

Plan plan_with(const std::string& more) { return parse_plan(kPlan + more, "/work/my.plan"); }

std::map<std::string, std::string> keys_of(const Plan& plan) {
  const StepGraph graph = build_steps(plan);
  const auto keys = graph.keys([](const auto&) { return "digest"; });
  std::map<std::string, std::string> by_name;
  for (std::size_t i = 0; i < keys.size(); ++i) by_name[graph.steps()[i].name] = keys[i];
  return by_name;
}

bool has(const CommandLine& command, const CommandLine& part) {
  return !std::ranges::search(command, part).empty();
}

TEST(OneModelSteps, StandInAPlanThatAsksForThem) {
  const StepGraph without = build_steps(plan_with(""));
  for (const char* step : {"tuned", "mix", "mixture", "routing"})
    expect_error<compat::UsageError>([&] { without.at(step); }, step);
  const StepGraph with = build_steps(
      plan_with("[experts]\ntune = 9\ntune_flags = --cpu\n[mix]\nupdates = 30\nlr = 0.5\n"
                "train_flags = --moe-z-loss-wt 1\nflags = --router-tokens 9\n"));
  EXPECT_TRUE(has(with.at("tuned").commands[0], {"--tune", "data-bin"}));
  EXPECT_TRUE(has(with.at("tuned").commands[0], {"--tune-evaluations", "9"}));
  EXPECT_TRUE(has(with.at("tuned").commands[0], {"--cpu"}));
  const CommandLine& mix = with.at("mix").commands[0];
  EXPECT_TRUE(has(mix, {"btm", "mix", "law=experts/law/checkpoint_last.pt"}));
  EXPECT_TRUE(has(mix, {"--router", "posterior", "--data", "data-bin"}));
  EXPECT_TRUE(has(mix, {"--router-tokens", "9"}));
  const Step& train = with.at("mixture");
  for (const CommandLine& part : {CommandLine{"--finetune-from-model", "mix/checkpoint_last.pt"},
                                  {"--moe-expert-count", "2"},
                                  {"--moe-train", "routers"},
                                  {"--max-update", "30"},
                                  {"--lr", "0.5"},
                                  {"--update-freq", "2"},
                                  {"--moe-z-loss-wt", "1"}})
    EXPECT_TRUE(has(train.commands[0], part)) << part[0];
  EXPECT_FALSE(has(train.resume_commands[0], {"--finetune-from-model"})) << "it would begin anew";
  const CommandLine& evaluate = with.at("evaluate").commands[0];
  for (const char* row :
       {"tuned average=tuned/checkpoint_last.pt", "mixture=mixture/checkpoint_last.pt"})
    EXPECT_TRUE(has(evaluate, {row})) << row;
}

TEST(OneModelSteps, LeaveTheOtherStepsAsTheyWere) {
  const auto before = keys_of(plan_with(""));
  const auto after = keys_of(plan_with("[experts]\ntune = 9\n[mix]\nupdates = 30\n"));
  for (const auto& [name, key] : before)
    EXPECT_EQ(after.at(name) == key, name != "evaluate" && name != "report") << name;
}

TEST(OneModelSteps, GoOnWithTheSearchOfATunedAverage) {
  const StepGraph graph = build_steps(plan_with("[experts]\ntune = 9\ntune_flags = --cpu\n"));
  const Step& tuned = graph.at("tuned");
  EXPECT_EQ(tuned.resume_file, "tuned/tune.json");
  ASSERT_EQ(tuned.resume_commands.size(), 1U);
  CommandLine resume = tuned.commands[0];
  EXPECT_EQ(std::erase(resume, "--overwrite"), 1U);
  EXPECT_EQ(tuned.resume_commands[0], resume) << "--overwrite begins the search anew";
}

TEST(OneModelSteps, AverageTheLastCheckpointsOfTheBaseline) {
  const StepGraph graph = build_steps(plan_with("[experts]\nalong_run = 3\n"));
  const Step& dense = graph.at("dense");
  ASSERT_EQ(dense.commands.size(), 2U);
  EXPECT_TRUE(has(dense.commands[0], {"--keep-interval-updates", "3"}));
  EXPECT_TRUE(has(dense.commands[1], {"--num-update-checkpoints", "3"}));
  EXPECT_EQ(dense.resume_commands.back(), dense.commands.back());
  EXPECT_TRUE(std::ranges::find(dense.outputs, "dense/averaged.pt") != dense.outputs.end());
  EXPECT_TRUE(has(graph.at("evaluate").commands[0], {"dense averaged=dense/averaged.pt"}));
}

TEST(OneModelSteps, StartRoutersAtRandomBesideAnExpertWithoutADomain) {
  const Plan plan = plan_with("[mix]\nupdates = 30\n");
  Lineup lineup = lineup_of(plan);
  lineup.brought.push_back({"guest", "experts/guest/checkpoint_last.pt", "guest", {}});
  lineup.evaluated.emplace_back("guest");
  const StepGraph graph = build_steps(plan, lineup);
  const CommandLine& mix = graph.at("mix").commands[0];
  EXPECT_TRUE(has(mix, {"--router", "random"}));
  EXPECT_FALSE(has(mix, {"--data"}));
  EXPECT_TRUE(has(graph.at("mixture").commands[0], {"--moe-expert-count", "3"}));
}

}  // namespace
}  // namespace btm
