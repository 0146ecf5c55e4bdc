// One step, in this process: its commands one after another, its log, its record.
#pragma once

#include <functional>
#include <string>

#include "btm/run/run_state.h"
#include "btm/run/step.h"

namespace btm {

enum class StepResult { kDone, kFailed, kInterrupted };

/// Of a process that does nothing else, and back. Any other status is a failure.
int exit_status(StepResult result);
StepResult step_result(int exit_status);

/// Runs `step` unless it is done under `key`. While another process has the step it waits. SIGINT
/// and SIGTERM are passed on to the command, which may save its state and end (kInterrupted).
/// Everything the commands print goes to the step's log. `check_inputs` is called before the
/// commands and after them; it throws IoError where what earlier steps made is not as they left it,
/// and the step fails with its words.
StepResult run_step(
    const Step& step, const std::string& key, RunState& state,
    const std::function<void()>& check_inputs = [] {});

/// The step's command as it is executed: "btm" and "btm-convert" are those beside this program.
CommandLine resolved(const CommandLine& command);

}  // namespace btm
