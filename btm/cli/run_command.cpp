#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "btm/cli/commands.h"
#include "btm/report/table.h"
#include "btm/run/build_steps.h"
#include "btm/run/executor.h"
#include "btm/run/plan.h"
#include "btm/run/run_report.h"
#include "btm/run/run_state.h"
#include "btm/run/run_step.h"
#include "btm/run/slurm_executor.h"
#include "compat/base/error.h"
#include "compat/program/command_line.h"
#include "compat/program/console.h"
#include "compat/program/process.h"
#include "compat/program/progress_bar.h"
#include "compat/program/resource_limits.h"

namespace btm {
namespace {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

/// Set for the steps that a `btm run` starts. It reports their failures itself, between two redraws
/// of its progress bar.
constexpr const char* kWatched = "BTM_RUN_WATCHED";

struct RunCommand {
  std::string plan, executor = "local", redo, step;
  std::int64_t jobs = 1;
  bool dry_run = false, check = false, report = false, no_progress_bar = false;

  compat::CommandSpec spec() {
    compat::FlagGroup work{
        "Work",
        {flag_choice("executor", executor, {"local", "slurm"}, "run steps here, or as Slurm jobs"),
         flag_integer("jobs,j", "N", jobs,
                      "steps side by side (local); the cores are divided among them, unless "
                      "OMP_NUM_THREADS is set",
                      1),
         flag_switch("dry-run", dry_run,
                     "show the steps, which are done, and their commands; run nothing"),
         flag_switch("check", check,
                     "read all inputs and outputs again, even where size and times are unchanged"),
         flag_text("redo", "STEP", redo,
                   "start this step anew (later steps stay done, because the same work gives the "
                   "same result)"),
         flag_text("step", "STEP", step, "run only this step, in this process (executors use it)"),
         flag_switch("report", report, "only write the report of the steps that are done"),
         flag_switch("no-progress-bar", no_progress_bar, "print lines even on a terminal")}};
    return {"btm run",
            "Runs a plan: preprocess, train a seed model, branch, train the experts and a "
            "dense baseline of the same compute, average, "
            "evaluate, report. Skips steps that are done. After an interruption or a failure the "
            "same command continues.",
            {{"PLAN", "the plan (its keys: btm/run/plan.md)", &plan}},
            {work},
            {}};
  }
};

/// One plan, its graph and the steps that are done.
class Run {
 public:
  explicit Run(const RunCommand& command)
      : command_(command),
        plan_(load_plan(command.plan)),
        graph_(build_steps(plan_)),
        state_(opened(command, plan_)),
        keyed_{graph_, graph_.keys([this](const std::filesystem::path& input) {
                 return state_.digests().of(input);
               })} {}

  int execute();

 private:
  static RunState opened(const RunCommand& command, const Plan& plan) {
    RunState state(plan.output);
    if (command.check) state.digests().forget();
    return state;
  }
  int dry_run();
  int run_one(const Step& step);
  int run_all();
  void tell_failure(const std::string& step) const;
  int report_failures(const RunResult& result) const;
  CommandLine step_command(const std::string& step) const {
    return {compat::own_program().string(), "run",
            std::filesystem::absolute(command_.plan).string(), "--step", step};
  }

  const RunCommand& command_;
  Plan plan_;
  StepGraph graph_;
  RunState state_;
  KeyedGraph keyed_;
};

int Run::execute() {
  if (command_.report) {
    write_run_report(plan_, state_);
    return 0;
  }
  if (!command_.redo.empty()) state_.forget(graph_.at(command_.redo));
  if (command_.dry_run) return dry_run();
  return command_.step.empty() ? run_all() : run_one(graph_.at(command_.step));
}

int Run::dry_run() {
  const std::set<std::string> done = keyed_.done(state_);
  Table table{{{"step"}, {"state"}, {"after"}}, {}};
  for (const Step& step : graph_.steps()) {
    std::string after;
    for (const std::string& name : step.after) after += (after.empty() ? "" : ", ") + name;
    const auto failure = state_.failure_of(step.name);
    table.rows.push_back({step.name,
                          done.contains(step.name) ? "done"
                          : failure                ? "failed"
                                                   : "to do",
                          after});
  }
  std::cout << to_text(table, compat::table_width()) << "\nin " << state_.output().string()
            << ":\n";
  for (const Step& step : graph_.steps()) {
    if (done.contains(step.name)) continue;
    std::cout << "# " << step.name << "\n";
    for (const CommandLine& command : step.commands) std::cout << shell_text(command) << "\n";
  }
  return 0;
}

int Run::run_one(const Step& step) {
  const auto key_of = [&](const Step& one) {
    return keyed_.keys[static_cast<std::size_t>(&one - graph_.steps().data())];
  };
  const auto check_inputs = [&] {
    for (const std::string& name : step.after)
      if (const Step& before = graph_.at(name); !state_.is_done(before, key_of(before)))
        throw compat::IoError(state_.output().string(),
                              "step " + name + " is not done, or its output has changed");
  };
  const StepResult result = run_step(step, key_of(step), state_, check_inputs);
  if (std::getenv(kWatched) != nullptr) return exit_status(result);
  if (result == StepResult::kFailed) tell_failure(step.name);
  if (result == StepResult::kDone)
    std::cerr << "btm run: " << done_line(step.name, state_) << std::endl;
  return exit_status(result);
}

void Run::tell_failure(const std::string& step) const {
  const StepFailure failure =
      state_.failure_of(step).value_or(StepFailure{1, "it left no record; see its log"});
  std::cerr << "btm run: error: step " << step << " failed (status " << failure.status
            << "): " << failure.reason << " (log: " << state_.log_of(step).string() << ")"
            << std::endl;
}

/// The programs that this one starts use its share of the cores.
void divide_cores(std::int64_t jobs) {
  const std::int64_t share = std::max<std::int64_t>(1, compat::usable_cores() / jobs);
  if (jobs > 1) ::setenv("OMP_NUM_THREADS", std::to_string(share).c_str(), /*overwrite=*/0);
}

int Run::run_all() {
  divide_cores(command_.jobs);
  const std::size_t total = graph_.steps().size();
  const std::size_t before = keyed_.done(state_).size();
  compat::ProgressBar bar("btm run", command_.no_progress_bar ? "none" : "tqdm", 1,
                          command_.no_progress_bar, [](const std::string&) {});
  RunObserver observer;
  observer.line = [&](const std::string& line) {
    bar.clear();
    std::cerr << "btm run: " << line << std::endl;
  };
  observer.progress = [&](std::size_t done, const std::vector<std::string>& running) {
    std::string names;
    for (const std::string& name : running) names += (names.empty() ? "" : ",") + name;
    if (!running.empty())
      bar.update(static_cast<std::int64_t>(done), static_cast<std::int64_t>(total), [&] {
        return compat::ProgressBar::Stats{{"running", names}};
      });
  };
  if (before > 0) {
    const compat::DigestCache& digests = state_.digests();
    observer.line(std::to_string(before) + " of " + std::to_string(total) +
                  " steps are done already (" + std::to_string(digests.files_read()) +
                  " files read and compared, " + std::to_string(digests.files_remembered()) +
                  " known by size and times; --check reads all)");
  }
  if (command_.executor == "local") ::setenv(kWatched, "1", /*overwrite=*/1);
  const RunResult result =
      command_.executor == "slurm"
          ? run_on_slurm(
                keyed_, state_, plan_,
                [this](const std::string& step) { return step_command(step); }, observer)
          : run_locally(
                keyed_, state_, static_cast<std::size_t>(command_.jobs),
                [this](const std::string& step) { return step_command(step); }, observer);
  bar.clear();
  if (result.done.size() < total) return report_failures(result);
  std::cout << run_summary(plan_, state_)
            << "\nreport: " << (state_.output() / "report.html").string() << std::endl;
  return 0;
}

int Run::report_failures(const RunResult& result) const {
  for (const std::string& name : result.failed) tell_failure(name);
  const std::size_t missing = graph_.steps().size() - result.done.size();
  std::cerr << "btm run: " << missing << " of " << graph_.steps().size()
            << " steps are left; the same command continues, and --redo STEP starts a step anew"
            << std::endl;
  return result.failed.empty() && result.interrupted ? 128 + SIGINT : 1;
}

}  // namespace

compat::CommandSpec run_spec() { return compat::spec_owning<RunCommand>(); }

int run_run(std::span<const std::string> args) {
  RunCommand command;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  return Run(command).execute();
}

}  // namespace btm
