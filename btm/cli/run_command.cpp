#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <set>
#include <utility>

#include "btm/cli/commands.h"
#include "btm/cli/plan_check.h"
#include "btm/report/table.h"
#include "btm/run/executor.h"
#include "btm/run/plan.h"
#include "btm/run/project.h"
#include "btm/run/run_progress.h"
#include "btm/run/run_report.h"
#include "btm/run/run_state.h"
#include "btm/run/run_step.h"
#include "btm/run/slurm_executor.h"
#include "compat/base/concat.h"
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
                     "show the steps, which are done, and their commands; run and write nothing"),
         flag_switch("check", check,
                     "read all inputs and outputs again, even where size and times are unchanged"),
         flag_text("redo", "STEP", redo,
                   "start this step anew; its result is set aside (later steps stay done, because "
                   "the same work gives the same result)"),
         flag_text("step", "STEP", step, "run only this step, in this process (executors use it)"),
         flag_switch("report", report, "only write the report of the steps that are done"),
         flag_switch("no-progress-bar", no_progress_bar, "print lines even on a terminal")}};
    return {"btm run",
            "Runs a plan: preprocess, train a seed model, branch, train the experts and a "
            "dense baseline of the same compute, average, evaluate, report. Skips steps that are "
            "done, which it knows by content: a plan may get a domain more and its folder may "
            "move. Results that are replaced are kept in OUTPUT/earlier. After an interruption or "
            "a failure the same command continues.",
            {{"PLAN", "the plan (btm plan --example prints one with all keys)", &plan}},
            {work},
            {}};
  }
};

/// One plan and what is asked of it.
class Run {
 public:
  explicit Run(const RunCommand& command)
      : command_(command),
        project_(load_plan(command.plan),
                 {.reads_all = command.check,
                  .redone = command.redo,
                  .access = command.dry_run ? RunAccess::kReads : RunAccess::kWrites}) {}

  int execute();

 private:
  int dry_run();
  int run_one(const Step& step);
  int run_all();
  RunResult run_steps(const RunObserver& observer);
  void tell_failure(const std::string& step) const;
  int report_failures(const RunResult& result) const;
  CommandLine step_command(const std::string& step) const {
    return {compat::own_program().string(), "run",
            std::filesystem::absolute(command_.plan).string(), "--step", step};
  }

  const RunCommand& command_;
  mutable Project project_;
};

int Run::execute() {
  if (command_.report) {
    write_run_report(project_.plan(), project_.lineup(), project_.state());
    const std::filesystem::path page = project_.state().output() / "report.html";
    std::cout << "report: " << compat::printable(page.string(), 4096) << std::endl;
    return 0;
  }
  if (command_.step.empty()) check_commands(project_.plan(), project_.graph());
  if (!command_.redo.empty()) {
    const Step& step = project_.graph().at(command_.redo);
    const std::filesystem::path aside = project_.state().set_results_aside(std::array{step.name});
    if (!aside.empty())
      std::cerr << "btm run: set aside in " << aside.string() << ": " << step.name << std::endl;
    project_.state().forget(step);
  }
  if (command_.dry_run) return dry_run();
  return command_.step.empty() ? run_all() : run_one(project_.graph().at(command_.step));
}

int Run::dry_run() {
  for (const std::string& line : project_.notes()) std::cout << line << "\n";
  for (const std::string& line : small_test_sets(project_.plan(), project_.lineup()))
    std::cout << "warning: " << line << "\n";
  const std::vector<std::string> states = project_.states();
  const std::vector<Step>& steps = project_.graph().steps();
  Table table{{{"step"}, {"state"}, {"after"}}, {}};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::string reason = states[i] == "out of date" ? project_.reason_of(steps[i]) : "";
    table.rows.push_back({steps[i].name, states[i] + (reason.empty() ? "" : ": " + reason),
                          compat::join(steps[i].after, ", ")});
  }
  std::cout << to_text(table, compat::table_width()) << "\nin "
            << project_.state().output().string() << ":\n";
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (states[i] == "done" || states[i].starts_with("known as")) continue;
    std::cout << "# " << steps[i].name << "\n";
    for (const CommandLine& command : steps[i].commands) std::cout << shell_text(command) << "\n";
  }
  return 0;
}

int Run::run_one(const Step& step) {
  RunState& state = project_.state();
  const auto check_inputs = [&, is_noted = false]() mutable {
    if (step.name == "seed" && !std::exchange(is_noted, true)) project_.note_founding();
    for (const std::string& name : step.after)
      if (const Step& before = project_.graph().at(name);
          !state.is_done(before, project_.key_of(before)))
        throw compat::IoError(state.output().string(),
                              "step " + name + " is not done, or its output has changed");
  };
  const StepResult result = run_step(step, project_.key_of(step), state, check_inputs);
  if (std::getenv(kWatched) != nullptr) return exit_status(result);
  if (result == StepResult::kFailed) tell_failure(step.name);
  if (result == StepResult::kDone)
    std::cerr << "btm run: " << done_line(step.name, state) << std::endl;
  return exit_status(result);
}

void Run::tell_failure(const std::string& step) const {
  const StepFailure failure =
      project_.state().failure_of(step).value_or(StepFailure{1, "it left no record; see its log"});
  std::cerr << "btm run: error: step " << step << " failed (status " << failure.status
            << "): " << failure.reason << " (log: " << project_.state().log_of(step).string() << ")"
            << std::endl;
}

/// The programs that this one starts use its share of the cores.
void divide_cores(std::int64_t jobs) {
  const std::int64_t share = std::max<std::int64_t>(1, compat::usable_cores() / jobs);
  if (jobs > 1) ::setenv("OMP_NUM_THREADS", std::to_string(share).c_str(), /*overwrite=*/0);
}

int Run::run_all() {
  divide_cores(command_.jobs);
  const std::size_t total = project_.graph().steps().size();
  compat::ProgressBar bar("btm run", command_.no_progress_bar ? "none" : "tqdm", 1,
                          command_.no_progress_bar, [](const std::string&) {});
  RunObserver observer;
  observer.line = [&](const std::string& line) {
    bar.clear();
    std::cerr << "btm run: " << line << std::endl;
  };
  const RunProgress progress(project_.plan(), project_.lineup(), project_.graph());
  observer.progress = [&](const std::set<std::string>& done,
                          const std::vector<std::string>& running) {
    if (running.empty()) return;
    const RunState& state = project_.state();
    bar.update(
        std::ssize(done), static_cast<std::int64_t>(total),
        [&] {
          return compat::ProgressBar::Stats{{"running", progress.text(running, state)}};
        },
        progress.share(done, running, state));
  };
  for (const std::string& line : project_.notes()) observer.line(line);
  for (const std::string& line : small_test_sets(project_.plan(), project_.lineup()))
    observer.line("warning: " + line);
  for (const std::string& line : project_.prepare()) observer.line(line);
  const std::size_t before = project_.keyed().done(project_.state()).size();
  if (before > 0) {
    const compat::DigestCache& digests = project_.state().digests();
    observer.line(std::to_string(before) + " of " + std::to_string(total) +
                  " steps are done already (" + std::to_string(digests.files_read()) +
                  (digests.files_read() == 1 ? " file" : " files") + " read and compared, " +
                  std::to_string(digests.files_remembered()) +
                  " known by size and times; --check reads all)");
  }
  const RunResult result = run_steps(observer);
  bar.clear();
  project_.enter_done_experts();
  if (result.done.size() < total) return report_failures(result);
  std::cout << run_summary(project_.plan(), project_.lineup(), project_.state()) << "\n"
            << next_commands(project_.state()) << std::flush;
  return 0;
}

RunResult Run::run_steps(const RunObserver& observer) {
  const StepCommand command = [this](const std::string& step) { return step_command(step); };
  if (command_.executor == "slurm")
    return run_on_slurm(project_.keyed(), project_.state(), project_.plan(), command, observer);
  ::setenv(kWatched, "1", /*overwrite=*/1);
  return run_locally(project_.keyed(), project_.state(), static_cast<std::size_t>(command_.jobs),
                     command, observer);
}

int Run::report_failures(const RunResult& result) const {
  for (const std::string& name : result.failed) tell_failure(name);
  const std::size_t total = project_.graph().steps().size();
  std::cerr << "btm run: " << total - result.done.size() << " of " << total
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
  for (const auto& [given, name] : {std::pair{!command.redo.empty(), "--redo sets a result aside"},
                                    {!command.step.empty(), "--step runs a step"},
                                    {command.report, "--report writes a report"}})
    if (command.dry_run && given)
      throw compat::UsageError(std::string("--dry-run changes nothing, ") + name);
  return Run(command).execute();
}

}  // namespace btm
