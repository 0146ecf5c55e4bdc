#include "btm/run/executor.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "btm/run/run_step.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/program/process.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::read_file;
using btm_test::TempDir;

CommandLine sh(const std::string& script) { return {"sh", "-c", script}; }

Step step(const std::string& name, const std::string& script, std::vector<std::string> after = {}) {
  Step made;
  made.name = name;
  made.commands = {sh(script)};
  made.after = std::move(after);
  return made;
}

std::string no_input(const std::filesystem::path&) { return ""; }

/// Runs `work` in a child process, as a program would, and sends it `signal` when `file` exists.
int status_when_signalled(const std::filesystem::path& file, int signal,
                          const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(work());
  for (int i = 0; i < 12000 && !std::filesystem::exists(file); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ::kill(pid, signal);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(RunStep, RunsItsCommandsInTheRunsFolderAndKeepsALog) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "echo one > out; echo said");
  made.commands.push_back(sh("cat out; echo wrong >&2"));
  made.outputs = {"out"};
  EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
  EXPECT_TRUE(state.is_done(made, "k"));
  EXPECT_EQ(
      read_file(state.log_of("a")),
      "$ sh -c 'echo one > out; echo said'\nsaid\n$ sh -c 'cat out; echo wrong >&2'\none\nwrong\n");
}

TEST(RunStep, DoesNotRepeatWhatIsDone) {
  const TempDir dir;
  RunState state(dir / "run");
  const Step made = step("a", "echo ran >> count");
  EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
  EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
  EXPECT_EQ(read_file(dir / "run/count"), "ran\n");
  EXPECT_EQ(run_step(made, "other", state), StepResult::kDone);
  EXPECT_EQ(read_file(dir / "run/count"), "ran\nran\n");
}

TEST(RunStep, NamesTheReasonOfAFailure) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "echo fine; echo 'disk full' >&2; exit 7");
  made.commands.push_back(sh("echo never"));
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  ASSERT_TRUE(state.failure_of("a"));
  EXPECT_EQ(state.failure_of("a")->status, 7);
  EXPECT_EQ(state.failure_of("a")->reason, "disk full");
  EXPECT_EQ(read_file(state.log_of("a")).find("never"), std::string::npos);
}

TEST(RunStep, SaysWhatHelpsWhereItWentOnFromAFile) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "mkdir -p own; touch own/state; exit 1");
  made.folder = "own";
  made.resume_file = "own/state";
  made.resume_commands = {sh("echo 'sh: error: damaged' >&2; exit 1")};
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  EXPECT_EQ(state.failure_of("a")->reason,
            "sh: error: damaged; it resumed from own/state. If that file is damaged, --redo a "
            "starts anew");
}

TEST(RunStep, RemovesTheOtherOutputsBeforeItGoesOn) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "mkdir -p own; touch own/state own/out; exit 1");
  made.folder = "own";
  made.resume_file = "own/state";
  made.outputs = {"own/state", "own/out"};
  made.resume_commands = {sh("test -e own/state && test ! -e own/out && echo again > own/out")};
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
  EXPECT_EQ(read_file(dir / "run/own/out"), "again\n");
}

TEST(RunStep, BeginsAnewWhereTheCheckpointIsAnothers) {
  const auto checkpoint = btm_test::golden("checkpoints/elm_perl/checkpoint_last.pt");
  const auto settings = compat::Checkpoint::open(checkpoint).config();
  const std::string save_dir = settings.get_string("checkpoint", "save_dir", ""),
                    data = settings.get_string("task", "data", "");
  for (const auto& [own_dir, own_data, foreign] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {save_dir, data, ""},
           {"own", data, "checkpoint.save_dir '" + save_dir + "', expected 'own'"},
           {save_dir, "data-bin/own", "task.data '" + data + "', expected 'data-bin/own'"}}) {
    const TempDir dir;
    RunState state(dir / "run");
    Step made = step("a", "echo began > out; exit $(cat status)");
    made.folder = "own";
    made.resume_file = "own/checkpoint_last.pt";
    made.resume_settings.push_back({"checkpoint", "save_dir", own_dir});
    made.resume_settings.push_back({"task", "data", own_data});
    made.resume_commands = {sh("echo went on > out")};
    made.outputs = {"out"};
    btm_test::write_file(dir / "run/status", "1");
    EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
    std::filesystem::copy_file(checkpoint, dir / "run/own/checkpoint_last.pt");
    btm_test::write_file(dir / "run/status", "0");
    EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
    const bool is_own = foreign.empty();
    EXPECT_EQ(read_file(dir / "run/out"), is_own ? "went on\n" : "began\n");
    const auto set_aside = state.foreign_file_of("a");
    EXPECT_EQ(std::filesystem::exists(set_aside), !is_own);
    EXPECT_EQ(state.note_of("a"), is_own ? ""
                                         : "own/checkpoint_last.pt has " + foreign +
                                               ": it was moved to " + set_aside.string() +
                                               ", and the step began anew");
  }
}

TEST(RunStep, FailsWhereWhatItReadChangedMeanwhile) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "touch out");
  made.outputs = {"out"};
  int calls = 0;
  const auto check = [&](int bad) {
    return [&calls, bad] {
      if (++calls == bad) throw compat::IoError("x", "is not as it left it");
    };
  };
  for (const int bad : {1, 2}) {
    calls = 0;
    EXPECT_EQ(run_step(made, "k", state, check(bad)), StepResult::kFailed);
    EXPECT_EQ(state.failure_of("a")->reason, "x: is not as it left it");
    EXPECT_EQ(std::filesystem::exists(dir / "run/out"), bad == 2)
        << "the commands run between the two";
    EXPECT_FALSE(state.is_done(made, "k"));
  }
  EXPECT_EQ(run_step(made, "k", state, check(0)), StepResult::kDone);
}

TEST(RunStep, NamesTheSignalThatEndedACommand) {
  const TempDir dir;
  RunState state(dir / "run");
  EXPECT_EQ(run_step(step("a", "kill -9 $$"), "k", state), StepResult::kFailed);
  EXPECT_EQ(state.failure_of("a")->reason, "killed by signal 9 (out of memory?)");
}

TEST(RunStep, FailsWithoutTheOutputOrTheProgram) {
  const TempDir dir;
  RunState state(dir / "run");
  Step made = step("a", "true");
  made.outputs = {"out"};
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  EXPECT_NE(state.failure_of("a")->reason.find("out"), std::string::npos);
  made = step("b", "");
  made.commands = {{"/nonexistent/program"}};
  EXPECT_EQ(run_step(made, "k", state), StepResult::kFailed);
  EXPECT_NE(state.failure_of("b")->reason.find("/nonexistent/program: run: No such file"),
            std::string::npos)
      << state.failure_of("b")->reason;
}

TEST(RunStep, PassesASignalOnAndGoesOnLater) {
  const TempDir dir;
  Step made = step("a",
                   "trap 'echo saved > own/state; exit 0' TERM; mkdir -p own; touch own/started; "
                   "while :; do sleep 0.05; done");
  made.folder = "own";
  made.resume_file = "own/state";
  made.resume_commands = {sh("cat own/state > own/out")};
  made.outputs = {"own/out"};
  for (const int signal : {SIGINT, SIGTERM}) {
    std::filesystem::remove_all(dir / "run");
    const int status = status_when_signalled(dir / "run/own/started", signal, [&] {
      RunState state(dir / "run");
      return exit_status(run_step(made, "k", state));
    });
    EXPECT_EQ(step_result(status), StepResult::kInterrupted);
    RunState state(dir / "run");
    EXPECT_FALSE(state.is_done(made, "k"));
    EXPECT_FALSE(state.failure_of("a")) << "an interruption is no failure";
    EXPECT_EQ(run_step(made, "k", state), StepResult::kDone);
    EXPECT_EQ(read_file(dir / "run/own/out"), "saved\n");
  }
}

TEST(RunStep, EndsItsCommandWhenItIsKilled) {
  const TempDir dir;
  const Step made = step(
      "a", "trap 'echo saved > state; exit 0' TERM; touch started; while :; do sleep 0.05; done");
  status_when_signalled(dir / "run/started", SIGKILL, [&] {
    RunState state(dir / "run");
    return exit_status(run_step(made, "k", state));
  });
  // The command received SIGTERM. It holds the lock of its step until it ends.
  RunState state(dir / "run");
  Step after = step("a", "cat state > out");
  after.outputs = {"out"};
  EXPECT_EQ(run_step(after, "k", state), StepResult::kDone);
  EXPECT_EQ(read_file(dir / "run/out"), "saved\n");
}

/// A graph whose step commands are scripts.
struct ScriptRun {
  TempDir dir;
  StepGraph graph;
  RunState state{dir / "run"};
  KeyedGraph keyed{graph, graph.keys(no_input)};
  std::vector<std::string> lines;

  explicit ScriptRun(std::vector<Step> steps) : graph(std::move(steps)) {}

  RunResult run(std::size_t jobs) {
    RunObserver observer;
    observer.line = [&](const std::string& line) { lines.push_back(line); };
    return run_locally(
        keyed, state, jobs,
        [&](const std::string& name) { return graph.at(name).commands.front(); }, observer);
  }
};

TEST(LocalExecutor, RunsStepsAfterThoseTheyNeed) {
  ScriptRun run({step("c", "true", {"b"}), step("a", "true"), step("b", "true", {"a"})});
  const RunResult result = run.run(4);
  EXPECT_EQ(result.done.size(), 3u);
  EXPECT_EQ(run.lines, (std::vector<std::string>{"start a", "done  a", "start b", "done  b",
                                                 "start c", "done  c"}));
}

TEST(LocalExecutor, StopsOnlyWhatIsBehindAFailure) {
  ScriptRun run({step("bad", "exit 3"), step("behind", "true", {"bad"}), step("other", "true")});
  const RunResult result = run.run(1);
  EXPECT_EQ(result.failed, std::vector<std::string>{"bad"});
  EXPECT_EQ(run.lines[1], "failed bad");
  EXPECT_EQ(result.done, std::set<std::string>{"other"});
  EXPECT_FALSE(result.interrupted);
}

TEST(LocalExecutor, RunsStepsSideBySide) {
  // Each waits for the other, so running one at a time would never end.
  const TempDir meeting;
  const std::string at = meeting.path().string();
  const auto waits = [&](const std::string& mine, const std::string& others) {
    return "touch " + at + "/" + mine + "; for i in $(seq 200); do [ -e " + at + "/" + others +
           " ] && exit 0; sleep 0.05; done; exit 1";
  };
  ScriptRun run({step("a", waits("a", "b")), step("b", waits("b", "a"))});
  EXPECT_EQ(run.run(2).done.size(), 2u);
}

TEST(LocalExecutor, PassesASignalOnAndStartsNothingNew) {
  const TempDir dir;
  const std::string at = dir.path().string();
  const int status = status_when_signalled(dir / "started", SIGINT, [&] {
    ScriptRun run(
        {step("a", "trap 'exit 143' TERM; touch " + at + "/started; while :; do sleep 0.05; done"),
         step("b", "touch " + at + "/b")});
    const RunResult result = run.run(1);
    return result.interrupted && result.done.empty() && result.failed.empty() ? 42 : 1;
  });
  EXPECT_EQ(status, 42);
  EXPECT_FALSE(std::filesystem::exists(dir / "b"));
}

TEST(KeyedGraph, CountsAStepAsDoneOnlyBehindDoneSteps) {
  ScriptRun run({step("a", "true"), step("b", "true", {"a"})});
  run.state.mark_done(run.graph.at("b"), run.keyed.keys[1], 1);
  EXPECT_TRUE(run.keyed.done(run.state).empty());
  run.state.mark_done(run.graph.at("a"), run.keyed.keys[0], 1);
  EXPECT_EQ(run.keyed.done(run.state).size(), 2u);
}

}  // namespace
}  // namespace btm
