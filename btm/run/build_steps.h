// Turns a plan into steps: preprocess, seed, branch, train every expert and the dense baseline,
// average, evaluate, write texts, report.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "btm/run/lineup.h"
#include "btm/run/plan.h"
#include "btm/run/step.h"

namespace btm {

/// Compute is counted in tokens. With N domains of the seed model, an update of the seed model or
/// the dense baseline has N times the batch of an expert's update. So S seed updates and then U - S
/// updates of N experts cost as much as U updates of the dense baseline. The baseline continues the
/// seed phase, which is its own first S updates. An expert whose domain came later costs U - S
/// updates more.
StepGraph build_steps(const Plan& plan, const Lineup& lineup);

/// Where the step "texts" has what a model wrote, in the run's folder: "seed", "expert.DOMAIN" or
/// "ensemble".
std::filesystem::path texts_file(const std::string& model);

/// With lineup_of(plan).
StepGraph build_steps(const Plan& plan);

/// Tokens in an update of the seed model (and the baseline) and of an expert.
std::int64_t tokens_of_seed_update(const Plan& plan, const Lineup& lineup);
std::int64_t tokens_of_expert_update(const Plan& plan);

/// The entries of a plan that are parts of command lines, by their names in messages.
std::vector<std::pair<const char*, const std::vector<std::string>*>> flag_entries(const Plan& plan);

}  // namespace btm
