// The forest of a run, OUTPUT/experts: `btm run` enters the experts that it trains, and takes part
// with those that `btm expert add` brought and without those that `btm expert remove` took out.
#pragma once

#include <string>
#include <vector>

#include "btm/run/lineup.h"
#include "btm/run/plan.h"

namespace btm {

/// Adds the forest's experts to the lineup, takes out the removed ones, and returns lines for the
/// user about both. FormatError for a broken manifest. IoError where `btm expert add` has not ended
/// the addition of a domain of the plan, where a brought expert's file is missing, and where no
/// expert is left.
std::vector<std::string> apply_forest(const Plan& plan, Lineup& lineup);

/// The manifest after a domain was renamed, and its expert with it: entries and parents.
void follow_rename(const Plan& plan, const std::string& old_name, const std::string& new_name);

/// Enters trained experts into the manifest, and takes those out that the run entered earlier and
/// trains no more.
void enter_experts(const Plan& plan, const Lineup& lineup, const std::vector<std::string>& done);

}  // namespace btm
