// Runs one step in this process: its commands in order, its log, its record.
#pragma once

#include <functional>
#include <string>

#include "btm/run/run_state.h"
#include "btm/run/step.h"

namespace btm {

enum class StepResult { kDone, kFailed, kInterrupted };

/// Converts between a result and the exit status of a process that runs one step. Any other status
/// is a failure.
int exit_status(StepResult result);
StepResult step_result(int exit_status);

/// Runs `step` unless it is done under `key`. Waits while another process runs the step. Passes
/// SIGINT and SIGTERM on to the command, which may save its state and end (kInterrupted). The
/// commands' output goes to the step's log. Calls `check_inputs` before and after the commands. It
/// throws IoError where an earlier step's output has changed, and the step fails with that message.
StepResult run_step(
    const Step& step, const std::string& key, RunState& state,
    const std::function<void()>& check_inputs = [] {});

/// The command to execute: "btm" and "btm-convert" become the programs beside this one.
CommandLine resolved(const CommandLine& command);

}  // namespace btm
