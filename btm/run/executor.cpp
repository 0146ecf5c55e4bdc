#include "btm/run/executor.h"

#include <algorithm>
#include <csignal>
#include <memory>

#include "btm/run/run_step.h"
#include "compat/program/process.h"

namespace btm {
namespace {

bool all_in(const std::vector<std::string>& names, const std::set<std::string>& set) {
  return std::ranges::all_of(names, [&](const std::string& name) { return set.contains(name); });
}

class LocalRun {
 public:
  LocalRun(const KeyedGraph& keyed, RunState& state, std::size_t jobs,
           const StepCommand& step_command, const RunObserver& observer)
      : keyed_(keyed),
        state_(state),
        jobs_(jobs),
        step_command_(step_command),
        observer_(observer) {
    result_.done = keyed.done(state);
  }

  RunResult run() {
    compat::SignalQueue signals;
    for (;;) {
      reap();
      if (!result_.interrupted) start_ready();
      observer_.progress(result_.done, names());
      if (running_.empty()) return std::move(result_);
      const auto signal = signals.wait(std::chrono::milliseconds(250));
      if (signal && *signal != SIGCHLD) interrupt();
    }
  }

 private:
  struct Running {
    std::string name;
    std::unique_ptr<compat::Child> child;
  };

  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const Running& running : running_) list.push_back(running.name);
    return list;
  }

  void start_ready() {
    for (const Step& step : keyed_.graph.steps()) {
      if (running_.size() >= jobs_) return;
      if (result_.done.contains(step.name) || started_.contains(step.name) ||
          !all_in(step.after, result_.done))
        continue;
      observer_.line("start " + step.name);
      started_.insert(step.name);
      running_.push_back({step.name, std::make_unique<compat::Child>(
                                         compat::ChildSetup{.argv = step_command_(step.name)})});
    }
  }

  void reap() {
    for (std::size_t i = 0; i < running_.size();) {
      const auto status = running_[i].child->poll();
      if (!status) {
        ++i;
        continue;
      }
      finish(running_[i].name, step_result(*status));
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  void finish(const std::string& name, StepResult result) {
    if (result == StepResult::kDone) {
      result_.done.insert(name);
      observer_.line(done_line(name, state_));
    } else if (result == StepResult::kInterrupted) {
      result_.interrupted = true;
      observer_.line("interrupted " + name);
    } else {
      result_.failed.push_back(name);
      const auto failure = state_.failure_of(name);
      observer_.line("failed " + name + (failure ? ": " + failure->reason : ""));
    }
  }

  void interrupt() {
    if (!result_.interrupted && !running_.empty())
      observer_.line("interrupted: waiting for the running steps to save their state");
    result_.interrupted = true;
    ++interrupts_;
    for (const Running& running : running_)
      running.child->send(interrupts_ < 3 ? SIGTERM : SIGKILL);
  }

  const KeyedGraph& keyed_;
  RunState& state_;
  std::size_t jobs_;
  const StepCommand& step_command_;
  const RunObserver& observer_;
  RunResult result_;
  std::set<std::string> started_;
  std::vector<Running> running_;
  int interrupts_ = 0;
};

}  // namespace

std::set<std::string> KeyedGraph::done(RunState& state) const {
  std::set<std::string> names;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Step& step = graph.steps()[i];
    if (all_in(step.after, names) && state.is_done(step, keys[i])) names.insert(step.name);
  }
  state.digests().save();
  return names;
}

std::string done_line(const std::string& step, const RunState& state) {
  const std::string note = state.note_of(step);
  return "done  " + step + (note.empty() ? "" : ": " + note);
}

RunResult run_locally(const KeyedGraph& keyed, RunState& state, std::size_t jobs,
                      const StepCommand& step_command, const RunObserver& observer) {
  return LocalRun(keyed, state, jobs, step_command, observer).run();
}

}  // namespace btm
