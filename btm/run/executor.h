// Runs the steps of a graph that are not done yet.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "btm/run/run_state.h"
#include "btm/run/step.h"

namespace btm {

/// A graph with its keys, in the order of graph.steps().
struct KeyedGraph {
  const StepGraph& graph;
  std::vector<std::string> keys;

  /// Names of the steps that are done and whose predecessors are done.
  std::set<std::string> done(RunState& state) const;
};

struct RunResult {
  std::set<std::string> done;       ///< Includes those done before.
  std::vector<std::string> failed;  ///< Their last lines are in the run's state.
  bool interrupted = false;
};

/// Called in the executing thread.
struct RunObserver {
  std::function<void(const std::string& line)> line = [](const std::string&) {};
  /// After every change and several times a second: the steps that are done, and the running ones.
  std::function<void(const std::set<std::string>& done, const std::vector<std::string>& running)>
      progress = [](const std::set<std::string>&, const std::vector<std::string>&) {};
};

/// The command that runs one step and ends with exit_status() of its result.
using StepCommand = std::function<CommandLine(const std::string& step)>;

/// What an executor says of a step that is done, with what the step itself has noted.
std::string done_line(const std::string& step, const RunState& state);

/// Runs at most `jobs` steps at once. A failed step stops only the steps that depend on it. SIGINT
/// and SIGTERM go to the running steps, and no new one starts; the third signal kills.
RunResult run_locally(const KeyedGraph& keyed, RunState& state, std::size_t jobs,
                      const StepCommand& step_command, const RunObserver& observer);

}  // namespace btm
