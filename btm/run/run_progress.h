// How far a run is, as its bar shows it.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "btm/run/lineup.h"
#include "btm/run/plan.h"
#include "btm/run/run_state.h"
#include "btm/run/step.h"

namespace btm {

class RunProgress {
 public:
  RunProgress(const Plan& plan, const Lineup& lineup, const StepGraph& graph);

  /// The part of the run's work that is done, from 0 to 1: an estimate in tokens of training, with
  /// what the logs of `running` say.
  double share(const std::set<std::string>& done, const std::vector<std::string>& running,
               const RunState& state) const;
  /// "expert.law (update 120/800), evaluate (45%, model=law)": printable.
  std::string text(const std::vector<std::string>& running, const RunState& state) const;

 private:
  struct Work {
    double tokens = 1;  ///< What the step costs, as tokens of training.
    std::int64_t first_update = 0, last_update = 0;  ///< Of a training.
  };
  void add_trainings(const Plan& plan, const Lineup& lineup);
  double share_of(const Work& work, const LogProgress& progress) const;

  std::map<std::string, Work> work_;
  double total_ = 0;
};

/// Domains whose text for the evaluation is too small for an interval, in a line each with what
/// they have and need, printable. Sizes in tokens are guesses from bytes. Files that are missing
/// are passed over.
std::vector<std::string> small_test_sets(const Plan& plan, const Lineup& lineup);

}  // namespace btm
