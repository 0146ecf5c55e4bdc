#include "btm/run/training_costs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace btm {
namespace {

using Kind = MatrixRow::Kind;

Plan plan_with(const std::string& more) {
  return parse_plan(
      "[data]\ndomains = law, perl\ntext = text/{domain}\n[model]\n"
      "tokens_per_sample = 10\n[train]\nupdates = 4\nbatch_size = 1\n" +
          more,
      "/work/my.plan");
}

/// Dense models of 100 parameters. A token of the mixture uses 150 of 200.
EvalMatrix matrix() {
  EvalMatrix matrix;
  for (const char* name :
       {"seed", "law", "perl", "dense", "dense averaged", "average", "tuned average"})
    matrix.rows.push_back({name, Kind::kModel, "", {}, {}, 100, 100});
  matrix.rows.push_back({"mixture", Kind::kModel, "", {}, {}, 200, 150});
  matrix.rows.push_back({"ensemble x", Kind::kEnsemble, "", {}, {}, 200, 200});
  return matrix;
}

double cost_of(const std::string& name, const Plan& plan, const Lineup& lineup,
               const EvalMatrix& of = matrix()) {
  return training_costs(plan, lineup,
                        of)[static_cast<std::size_t>(of.find_row(name) - of.rows.data())];
}

TEST(TrainingCosts, CountEveryTrainingBehindARow) {
  const Plan plan =
      plan_with("[experts]\ntune = 2\nalong_run = 1\n[mix]\nupdates = 3\ntrain = all\n");
  const Lineup lineup = lineup_of(plan);
  // The seed model: 2 updates of 20 tokens. An expert: 2 updates of 10 tokens more.
  EXPECT_EQ(cost_of("seed", plan, lineup), 2 * 20 * 100);
  EXPECT_EQ(cost_of("law", plan, lineup), (40 + 20) * 100);
  for (const char* equal : {"dense", "dense averaged", "average", "tuned average", "ensemble x"})
    EXPECT_EQ(cost_of(equal, plan, lineup), 80 * 100) << equal;
  EXPECT_EQ(cost_of("mixture", plan, lineup), 8000 + 3 * 20 * 150);
}

TEST(TrainingCosts, CountTwoThirdsForRoutersAlone) {
  const Plan plan = plan_with("[mix]\nupdates = 3\n");
  EXPECT_DOUBLE_EQ(cost_of("mixture", plan, lineup_of(plan)), 8000 + 3 * 20 * 100);
}

TEST(TrainingCosts, AreUnknownWhereATrainingIs) {
  const Plan plan = plan_with("[mix]\nupdates = 3\n");
  Lineup lineup = lineup_of(plan);
  lineup.brought.push_back({"guest", "g.pt", "", {}});
  EvalMatrix with_guest = matrix();
  with_guest.rows.push_back({"guest", Kind::kModel, "", {}, {}, 100, 100});
  for (const char* name : {"guest", "average", "mixture", "ensemble x"})
    EXPECT_TRUE(std::isnan(cost_of(name, plan, lineup, with_guest))) << name;
  EXPECT_EQ(cost_of("dense", plan, lineup, with_guest), 8000);
  EvalMatrix old = matrix();  // of a version that kept no sizes
  for (MatrixRow& row : old.rows) row.parameters = row.active = 0;
  for (const double cost : training_costs(plan, lineup_of(plan), old))
    EXPECT_TRUE(std::isnan(cost));
}

TEST(Trainings, CountTheMixturesUpdatesFromTheExpertsLast) {
  const Plan plan = plan_with("[mix]\nupdates = 3\n");
  const std::vector<Training> all = trainings(plan, lineup_of(plan));
  EXPECT_EQ(all.back().name, "mixture");
  EXPECT_EQ(all.back().first_update, 4);
  EXPECT_EQ(all.back().tokens(), 3 * 20);
}

}  // namespace
}  // namespace btm
