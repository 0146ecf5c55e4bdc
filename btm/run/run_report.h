// The results of a run as one HTML file and as JSON: perplexities, loss curves, cost of every
// training.
#pragma once

#include <string>

#include "btm/run/lineup.h"
#include "btm/run/plan.h"
#include "btm/run/run_state.h"

namespace btm {

/// Writes report.html and summary.json into the run's folder from eval/matrix.json and the logs.
/// FormatError when matrix.json is damaged, IoError when it is missing.
void write_run_report(const Plan& plan, const Lineup& lineup, const RunState& state);

/// The table of perplexities and, in a line, how the first ensemble compares with the baseline.
/// Errors as above.
std::string run_summary(const Plan& plan, const Lineup& lineup, const RunState& state);

/// Where the report and the forest are, and commands that use the forest; printable lines.
std::string next_commands(const RunState& state);

}  // namespace btm
