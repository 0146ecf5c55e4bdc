#include "btm/run/run_step.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iostream>
#include <optional>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/program/process.h"

namespace btm {
namespace {

class LogFile {
 public:
  explicit LogFile(const std::filesystem::path& path)
      : path_(path),
        descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
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

bool goes_on(const Step& step, const RunState& state) {
  return !step.resume_file.empty() && std::filesystem::exists(state.output() / step.resume_file);
}

/// How the step's resume file shows that it is another's; "" where it does not. A file that cannot
/// be read is left to the command, which says why.
std::string foreign_setting(const Step& step, const RunState& state) {
  if (step.resume_settings.empty() || !goes_on(step, state)) return {};
  try {
    const auto checkpoint = compat::Checkpoint::open(state.output() / step.resume_file);
    for (const auto& [section, key, value, only_file_name] : step.resume_settings) {
      const compat::ConfigValue* const found = checkpoint.config().find(section, key);
      const auto* const text = found == nullptr ? nullptr : std::get_if<std::string>(&found->value);
      const bool is_same =
          text != nullptr &&
          (*text == value || (only_file_name && std::filesystem::path(*text).filename() ==
                                                    std::filesystem::path(value).filename()));
      if (!is_same)
        return step.resume_file.string() + " has " + section + "." + key + " " +
               (text != nullptr    ? "'" + compat::printable(*text, 200) + "'"
                : found == nullptr ? "None"
                                   : compat::printable(found->to_text(), 200)) +
               ", expected '" + compat::printable(value, 200) + "'";
    }
  } catch (const std::exception&) {
    return {};
  }
  return {};
}

/// Removes what an interrupted attempt made last, because the resume commands make it again.
void remove_other_outputs(const Step& step, const RunState& state) {
  for (const std::filesystem::path& output : step.outputs)
    if (std::error_code ignored; output != step.resume_file)
      std::filesystem::remove(state.output() / output, ignored);
}

/// The status of the first command that fails, or 0.
int run_commands(const std::vector<CommandLine>& commands, const RunState& state,
                 const LogFile& log, compat::SignalQueue& signals, bool& interrupted) {
  for (const CommandLine& command : commands) {
    log.line("$ " + shell_text(command));
    const int status = compat::Child({.argv = resolved(command),
                                      .folder = state.output(),
                                      .output = log.descriptor(),
                                      .errors = log.descriptor()})
                           .wait(signals, interrupted);
    if (status != 0 || interrupted) return status;
  }
  return 0;
}

/// Why a command ended with `status`, and advice where the same command would fail again.
std::string reason_of(const Step& step, int status, bool went_on,
                      const std::filesystem::path& log) {
  std::string reason = reason_in(log);
  constexpr int kSignals = 64;
  if (status > 128 && status <= 128 + kSignals) {
    const std::string killed = compat::concat("killed by signal ", status - 128,
                                              status == 128 + SIGKILL ? " (out of memory?)" : "");
    reason = killed + (reason.empty() ? "" : "; its last line: " + reason);
  }
  if (reason.empty()) reason = "it printed no message";
  if (went_on)
    reason += "; it resumed from " + step.resume_file.string() +
              ". If that file is damaged, --redo " + step.name + " starts anew";
  return reason;
}

/// Nothing when a signal ended the waiting.
std::optional<compat::FileLock> wait_for_lock(const Step& step, const RunState& state,
                                              compat::SignalQueue& signals) {
  for (bool is_told = false;; is_told = true) {
    if (auto lock = state.try_lock(step.name)) return lock;
    if (!is_told) {
      const std::string holder = state.lock_holder(step.name);
      std::cerr << "btm run: step " << step.name << " waits for "
                << (holder.empty() ? "another process" : holder)
                << ", or what it started, which runs the same step" << std::endl;
    }
    const auto signal = signals.wait(std::chrono::milliseconds(500));
    if (signal && *signal != SIGCHLD) return std::nullopt;
  }
}

constexpr int kInterruptedStatus = 128 + SIGTERM;

}  // namespace

int exit_status(StepResult result) {
  return result == StepResult::kDone          ? 0
         : result == StepResult::kInterrupted ? kInterruptedStatus
                                              : 1;
}

StepResult step_result(int status) {
  return status == 0                    ? StepResult::kDone
         : status == kInterruptedStatus ? StepResult::kInterrupted
                                        : StepResult::kFailed;
}

CommandLine resolved(const CommandLine& command) {
  CommandLine whole = command;
  if (whole.front() == "btm" || whole.front() == "btm-convert")
    whole.front() = (compat::own_program().parent_path() / whole.front()).string();
  return whole;
}

StepResult run_step(const Step& step, const std::string& key, RunState& state,
                    const std::function<void()>& check_inputs) {
  compat::SignalQueue signals;
  const auto lock = wait_for_lock(step, state, signals);
  if (!lock) return StepResult::kInterrupted;
  if (state.is_done(step, key)) return StepResult::kDone;
  bool interrupted = false;
  try {
    check_inputs();
    const auto inputs = state.input_digests(step);
    state.begin(step, key);
    if (const std::string problem = foreign_setting(step, state); !problem.empty())
      state.set_aside(step, key, problem);
    const bool resumes = goes_on(step, state);
    if (resumes) remove_other_outputs(step, state);
    const LogFile log(state.log_of(step.name));
    if (const std::string note = state.note_of(step.name); !note.empty()) log.line("# " + note);
    const auto start = std::chrono::steady_clock::now();
    const int status = run_commands(resumes ? step.resume_commands : step.commands, state, log,
                                    signals, interrupted);
    if (interrupted) {
      state.mark_interrupted(step.name, seconds_since(start));
      return StepResult::kInterrupted;
    }
    if (status == 0) {
      check_inputs();
      state.mark_done(step, key, seconds_since(start), inputs);
      state.save_digests();
      return StepResult::kDone;
    }
    state.mark_failed(step.name,
                      {status, reason_of(step, status, resumes, state.log_of(step.name))});
  } catch (const compat::IoError&
               error) {  // a program does not start, an output is missing, or an input changed
    state.mark_failed(step.name, {1, error.what()});
  }
  return StepResult::kFailed;
}

}  // namespace btm
