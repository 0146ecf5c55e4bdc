#include "btm/run/run_step.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "btm/run/process.h"
#include "compat/error.h"

namespace btm {
namespace {

class LogFile {
 public:
  explicit LogFile(const std::filesystem::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) throw compat::IoError(path.string(), "open", errno);
  }
  ~LogFile() { ::close(descriptor_); }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  int descriptor() const { return descriptor_; }
  void line(const std::string& text) const {
    const std::string whole = text + "\n";
    if (::write(descriptor_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
      throw compat::IoError(path_.string(), "write", errno);
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The status of the first command that fails, or 0.
int run_commands(const Step& step, const RunState& state, const LogFile& log, SignalQueue& signals, bool& interrupted) {
  const bool resumes = !step.resume_file.empty() && std::filesystem::exists(state.output() / step.resume_file);
  for (const CommandLine& command : resumes ? step.resume_commands : step.commands) {
    log.line("$ " + shell_text(command));
    const int status = Child(resolved(command), state.output(), log.descriptor()).wait(signals, interrupted);
    if (status != 0 || interrupted) return status;
  }
  return 0;
}

/// Nothing when a signal ended the waiting.
std::optional<compat::FileLock> wait_for_lock(const Step& step, const RunState& state, SignalQueue& signals) {
  for (;;) {
    if (auto lock = state.try_lock(step.name)) return lock;
    const auto signal = signals.wait(std::chrono::milliseconds(500));
    if (signal && *signal != SIGCHLD) return std::nullopt;
  }
}

constexpr int kInterruptedStatus = 128 + SIGTERM;

}  // namespace

int exit_status(StepResult result) {
  return result == StepResult::kDone ? 0 : result == StepResult::kInterrupted ? kInterruptedStatus : 1;
}

StepResult step_result(int status) {
  return status == 0 ? StepResult::kDone : status == kInterruptedStatus ? StepResult::kInterrupted : StepResult::kFailed;
}

CommandLine resolved(const CommandLine& command) {
  CommandLine whole = command;
  if (whole.front() == "btm" || whole.front() == "btm-convert") whole.front() = (own_program().parent_path() / whole.front()).string();
  return whole;
}

StepResult run_step(const Step& step, const std::string& key, RunState& state) {
  SignalQueue signals;
  const auto lock = wait_for_lock(step, state, signals);
  if (!lock) return StepResult::kInterrupted;
  if (state.is_done(step, key)) return StepResult::kDone;
  state.begin(step, key);
  const LogFile log(state.log_of(step.name));
  const auto start = std::chrono::steady_clock::now();
  bool interrupted = false;
  try {
    const int status = run_commands(step, state, log, signals, interrupted);
    if (interrupted) {
      state.mark_interrupted(step.name, seconds_since(start));
      return StepResult::kInterrupted;
    }
    if (status == 0) {
      state.mark_done(step, key, seconds_since(start));
      state.digests().save();
      return StepResult::kDone;
    }
    state.mark_failed(step.name, {status, last_line_of(state.log_of(step.name))});
  } catch (const compat::IoError& error) {  // a program that cannot be started, an output that is missing
    state.mark_failed(step.name, {1, error.what()});
  }
  return StepResult::kFailed;
}

}  // namespace btm
