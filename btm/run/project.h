// A plan, who takes part, its steps and what is done of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "btm/run/executor.h"
#include "btm/run/lineup.h"
#include "btm/run/plan.h"
#include "btm/run/run_state.h"
#include "btm/run/step.h"

namespace btm {

class Project {
 public:
  struct Options {
    bool reads_all = false;   ///< Reads all files again, even where size and times are unchanged.
    std::string redone = {};  ///< A step whose earlier result is not taken up, or "".
    RunAccess access = RunAccess::kWrites;  ///< kReads: prepare() and what follows are not called.
  };
  /// Errors as load_plan's and apply_forest's, and of files that cannot be read.
  Project(Plan plan, Options options);
  Project(const Project&) = delete;  // keyed_ refers to graph_
  Project& operator=(const Project&) = delete;

  const Plan& plan() const noexcept { return plan_; }
  const Lineup& lineup() const noexcept { return lineup_; }
  const StepGraph& graph() const noexcept { return graph_; }
  const KeyedGraph& keyed() const noexcept { return keyed_; }
  RunState& state() noexcept { return state_; }
  const std::string& key_of(const Step& step) const;
  /// What a user should know of who takes part; printable lines.
  const std::vector<std::string>& notes() const noexcept { return notes_; }

  /// "done", "known as NAME" (its result is taken up), "out of date" (a finished result is replaced
  /// and set aside), "failed" or "to do", for each step of the graph.
  std::vector<std::string> states();
  /// Why a step is out of date: what changed, or the first step before it that is not done; "" for
  /// all others.
  std::string reason_of(const Step& step);
  /// Sets aside what is finished under other keys and takes up what is known. Returns lines that
  /// say so. Call it before steps run.
  std::vector<std::string> prepare();
  /// Notes the founders of a seed model that is about to be trained.
  void note_founding();
  /// Enters the trained experts into the run's forest.
  void enter_done_experts();

 private:
  std::optional<RunState::Known> find_known(const Step& step, const std::string& key,
                                            const StepGraph& graph);
  void settle_cluster_names();
  Lineup choose_lineup();

  Options options_;
  Plan plan_;
  RunState state_;
  std::optional<Founding> founding_;
  DigestOf digest_;
  std::vector<std::string> notes_;
  Lineup lineup_;
  StepGraph graph_;
  KeyedGraph keyed_;
};

}  // namespace btm
