#include "btm/run/training_costs.h"

#include <algorithm>
#include <limits>
#include <map>

#include "btm/run/build_steps.h"

namespace btm {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr double kRoutersAlone = 2.0 / 3;

}  // namespace

std::vector<Training> trainings(const Plan& plan, const Lineup& lineup) {
  std::vector<Training> all{
      {"seed", "seed", 0, plan.seed_updates(), tokens_of_seed_update(plan, lineup)}};
  for (const std::string& domain : lineup.trained)
    all.push_back({"expert." + domain, domain, plan.seed_updates(), plan.updates,
                   tokens_of_expert_update(plan)});
  if (plan.dense)
    all.push_back(
        {"dense", "dense", plan.seed_updates(), plan.updates, tokens_of_seed_update(plan, lineup)});
  if (plan.mix.wanted())
    all.push_back({"mixture", "mixture", plan.updates, plan.updates + plan.mix.updates,
                   tokens_of_expert_update(plan) * std::ssize(lineup.trained)});
  return all;
}

std::vector<double> training_costs(const Plan& plan, const Lineup& lineup,
                                   const EvalMatrix& matrix) {
  std::map<std::string, double> costs;
  for (const Training& training : trainings(plan, lineup)) {
    const MatrixRow* const row = matrix.find_row(training.name);
    costs[training.name] =
        row == nullptr || row->active == 0
            ? kUnknown
            : static_cast<double>(training.tokens()) * static_cast<double>(row->active);
  }
  const double seed = costs["seed"];
  double forest = lineup.brought.empty() ? seed : kUnknown;
  for (const std::string& name : lineup.trained) {
    forest += costs[name];
    costs[name] += seed;
  }
  if (plan.dense) costs["dense averaged"] = costs["dense"] += seed;
  costs["average"] = costs["tuned average"] = forest;
  if (plan.mix.wanted()) {
    costs["mixture"] *= plan.mix.train == "routers" ? kRoutersAlone : 1;
    costs["mixture"] += forest;
  }
  std::vector<double> by_row;
  for (const MatrixRow& row : matrix.rows) {
    const auto found = costs.find(row.name);
    by_row.push_back(row.kind == MatrixRow::Kind::kEnsemble ? forest
                     : found != costs.end()                 ? found->second
                                                            : kUnknown);
  }
  return by_row;
}

}  // namespace btm
