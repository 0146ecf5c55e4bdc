#include "btm/run/run_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;

/// A run with one step, which makes `out` in its own folder.
struct OneStep {
  TempDir dir;
  RunState state{dir / "run"};
  Step step;

  OneStep() {
    step.name = "a";
    step.outputs = {"own/out"};
    step.folder = "own";
  }
  void make_output(std::string_view text) {
    std::filesystem::create_directories(state.output() / "own");
    write_file(state.output() / "own/out", text);
  }
};

TEST(RunState, KnowsAStepByItsKeyAndItsOutputs) {
  OneStep run;
  EXPECT_FALSE(run.state.is_done(run.step, "k1"));
  run.state.begin(run.step, "k1");
  run.make_output("text");
  run.state.mark_done(run.step, "k1", 2.5);
  EXPECT_TRUE(run.state.is_done(run.step, "k1"));
  EXPECT_FALSE(run.state.is_done(run.step, "k2"));
  EXPECT_EQ(run.state.seconds_of("a"), 2.5);
  EXPECT_TRUE(RunState(run.state.output()).is_done(run.step, "k1")) << "another process sees it";
}

TEST(RunState, GoesByContentNotByTime) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 1);
  std::filesystem::last_write_time(
      run.state.output() / "own/out",
      std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_TRUE(run.state.is_done(run.step, "k")) << "touched, not changed";
  run.make_output("tExt");
  EXPECT_FALSE(run.state.is_done(run.step, "k")) << "changed, of equal length";
  std::filesystem::remove(run.state.output() / "own/out");
  EXPECT_FALSE(run.state.is_done(run.step, "k"));
}

TEST(RunState, KeepsTheFilesOfAnInterruptedAttempt) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("half");
  write_file(run.state.log_of("a"), "log\n");
  run.state.mark_interrupted("a", 3);
  run.state.begin(run.step, "k");
  EXPECT_EQ(read_file(run.state.output() / "own/out"), "half");
  EXPECT_EQ(read_file(run.state.log_of("a")), "log\n");
  run.state.mark_done(run.step, "k", 2);
  EXPECT_EQ(run.state.seconds_of("a"), 5) << "both attempts count";
}

TEST(RunState, EmptiesTheFolderForOtherWork) {
  OneStep run;
  run.state.begin(run.step, "k1");
  run.make_output("of k1");
  write_file(run.state.log_of("a"), "log of k1\n");
  run.state.begin(run.step, "k2");
  EXPECT_FALSE(std::filesystem::exists(run.state.output() / "own/out"));
  EXPECT_FALSE(std::filesystem::exists(run.state.log_of("a")));
}

TEST(RunState, BeginsAnewWhereTheOutputOfAFinishedStepWasReplaced) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 1);
  run.make_output("of another");
  EXPECT_FALSE(run.state.is_done(run.step, "k"));
  run.state.begin(run.step, "k");
  EXPECT_FALSE(std::filesystem::exists(run.state.output() / "own/out")) << "not gone on from";
}

TEST(RunState, RecordsWhatWasComparedAndRefusesInputsThatChangedMeanwhile) {
  OneStep run;
  write_file(run.dir / "text", "one");
  run.step.inputs = {run.dir / "text"};
  const auto inputs = run.state.input_digests(run.step);
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 1, inputs);
  const std::string record = read_file(run.state.output() / "steps/a.json");
  for (const std::string& part : {inputs.begin()->second, std::string("contents_read_at"),
                                  (run.dir / "text").string(), std::string("own/out")})
    EXPECT_NE(record.find(part), std::string::npos) << part;
  write_file(run.dir / "text", "two");
  btm_test::expect_error<compat::IoError>([&] { run.state.mark_done(run.step, "k", 1, inputs); },
                                          "changed while the step that reads it ran");
}

TEST(RunState, ForgetsAStepThatIsToBeDoneAgain) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 1);
  run.state.forget(run.step);
  EXPECT_FALSE(run.state.is_done(run.step, "k"));
  run.state.begin(run.step, "k");
  EXPECT_FALSE(std::filesystem::exists(run.state.output() / "own/out")) << "from the start";
}

TEST(RunState, RefusesToCallAStepDoneWithoutItsOutput) {
  OneStep run;
  run.state.begin(run.step, "k");
  btm_test::expect_error<compat::IoError>([&] { run.state.mark_done(run.step, "k", 1); },
                                          "own/out");
}

TEST(RunState, TakesADamagedRecordForNone) {
  OneStep run;
  run.make_output("text");
  for (const char* record : {"", "{", "[]", R"({"key":5})", R"({"key":"k","outputs":[1]})",
                             R"({"key":"k","outputs":{"own/out":7}})"}) {
    write_file(run.state.output() / "steps/a.json", record);
    EXPECT_FALSE(run.state.is_done(run.step, "k")) << record;
  }
}

TEST(RunState, RemembersAFailureUntilTheNextAttempt) {
  OneStep run;
  run.state.mark_failed("a", {3, "no space left"});
  ASSERT_TRUE(run.state.failure_of("a"));
  EXPECT_EQ(run.state.failure_of("a")->status, 3);
  EXPECT_EQ(run.state.failure_of("a")->reason, "no space left");
  run.state.begin(run.step, "k");
  EXPECT_FALSE(run.state.failure_of("a"));
}

/// A second step, which makes own2/out2.
Step renamed_step() {
  Step step;
  step.name = "b";
  step.outputs = {"own2/out2"};
  step.folder = "own2";
  return step;
}

TEST(RunState, SetsAFinishedResultAsideBeforeItIsReplaced) {
  OneStep run;
  run.state.begin(run.step, "k1");
  run.make_output("of k1");
  write_file(run.state.log_of("a"), "log of k1\n");
  run.state.mark_done(run.step, "k1", 1);
  run.state.begin(run.step, "k2");
  const auto aside = run.state.output() / "earlier/1";
  EXPECT_EQ(read_file(aside / "own/out"), "of k1");
  EXPECT_EQ(read_file(aside / "logs/a.log"), "log of k1\n");
  EXPECT_FALSE(std::filesystem::exists(run.state.output() / "own/out"));
  run.make_output("of k2");
  run.state.mark_done(run.step, "k2", 1);
  EXPECT_EQ(run.state.set_results_aside(std::array<std::string, 2>{"a", "none"}),
            run.state.output() / "earlier/2");
  EXPECT_EQ(read_file(run.state.output() / "earlier/2/own/out"), "of k2");
  EXPECT_EQ(run.state.set_results_aside(std::array<std::string, 1>{"a"}), "") << "nothing there";

  const auto known = run.state.find_known(run.step, "k1", {"a"});
  ASSERT_TRUE(known);
  EXPECT_EQ(known->folder, aside);
  run.state.take_up(run.step, *known);
  EXPECT_TRUE(run.state.is_done(run.step, "k1"));
  EXPECT_EQ(read_file(run.state.log_of("a")), "log of k1\n");
  run.state.remove_empty_earlier();
  EXPECT_FALSE(std::filesystem::exists(aside));
  EXPECT_TRUE(std::filesystem::exists(run.state.output() / "earlier/2"));
}

TEST(RunState, TakesUpTheSameResultOfAnotherName) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("text");
  write_file(run.state.output() / "own/more", "beside it");
  run.state.mark_done(run.step, "k", 7);
  EXPECT_FALSE(run.state.find_known(renamed_step(), "k", {"a", "b"})) << "a keeps its result";
  EXPECT_FALSE(run.state.find_known(renamed_step(), "other", {"b"}));
  const auto known = run.state.find_known(renamed_step(), "k", {"b"});
  ASSERT_TRUE(known);
  EXPECT_EQ(known->name, "a");
  run.state.take_up(renamed_step(), *known);
  EXPECT_TRUE(run.state.is_done(renamed_step(), "k"));
  EXPECT_FALSE(run.state.is_finished("a"));
  EXPECT_EQ(read_file(run.state.output() / "own2/out2"), "text");
  EXPECT_EQ(read_file(run.state.output() / "own2/more"), "beside it");
  EXPECT_FALSE(std::filesystem::exists(run.state.output() / "own"));
  EXPECT_EQ(run.state.seconds_of("b"), 7);
}

TEST(RunState, TakesUpNothingThatChanged) {
  OneStep run;
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 7);
  run.make_output("test");
  EXPECT_FALSE(run.state.find_known(renamed_step(), "k", {"b"}));
}

TEST(RunState, TakesRecordsOfEarlierVersionsForNoneAndLeavesTheFilesOfOthersAlone) {
  OneStep run;
  run.make_output("text");
  write_file(run.dir / "outside", "of another");
  write_file(run.state.output() / "steps/a.json",
             R"({"key":"k","outputs":{"own/out":"x","../outside":"x"}})");
  EXPECT_FALSE(run.state.is_done(run.step, "k"));
  EXPECT_EQ(run.state.finished_by_earlier_versions(), std::vector<std::string>{"a"});
  run.state.set_results_aside(run.state.finished_by_earlier_versions());
  EXPECT_EQ(read_file(run.state.output() / "earlier/1/own/out"), "text");
  EXPECT_EQ(read_file(run.dir / "outside"), "of another");
}

TEST(RunState, SaysWhyAFinishedStepIsNotDone) {
  OneStep run;
  write_file(run.dir / "a.txt", "a");
  run.step.inputs = {run.dir / "a.txt"};
  run.step.identity = {"a", "command", "btm", "train", "--lr", "1e-3"};
  EXPECT_EQ(run.state.why_not_done(run.step), "") << "it was never done";
  run.state.begin(run.step, "k");
  run.make_output("text");
  run.state.mark_done(run.step, "k", 1, run.state.input_digests(run.step));
  EXPECT_EQ(run.state.why_not_done(run.step), "") << "nothing changed but what is before it";

  Step other = run.step;
  other.identity.back() = "1e-4";
  EXPECT_EQ(run.state.why_not_done(other), "--lr was '1e-3', is '1e-4'");
  other.identity = {"a", "command", "btm", "train"};
  EXPECT_EQ(run.state.why_not_done(other), "was '--lr', is ''");
  other = run.step;
  other.inputs.clear();
  EXPECT_EQ(run.state.why_not_done(other), "it reads fewer files");
  other = run.step;
  write_file(run.dir / "b.txt", "b");
  other.inputs.push_back(run.dir / "b.txt");
  EXPECT_EQ(run.state.why_not_done(other), "b.txt is new");

  write_file(run.dir / "a.txt", "changed");
  EXPECT_EQ(run.state.why_not_done(run.step), "a.txt changed");
  write_file(run.dir / "a.txt", "a");
  run.make_output("other");
  EXPECT_EQ(run.state.why_not_done(run.step), "own/out changed");
  std::filesystem::remove(run.state.output() / "own/out");
  EXPECT_EQ(run.state.why_not_done(run.step), "own/out is missing");
}

TEST(ProgressOfAStep, IsTheLastUpdateOrTheLastLine) {
  const TempDir dir;
  write_file(dir / "log", "$ btm train\n{\"num_updates\": \"10\"}\n{\"num_updates\": \"20\"}\nx\n");
  EXPECT_EQ(progress_in(dir / "log").update, 20);
  write_file(dir / "log", "$ btm eval-matrix\n3 of 8 \x1b[1m\n");
  EXPECT_EQ(progress_in(dir / "log").text, "3 of 8 \\x1b[1m");
  EXPECT_EQ(progress_in(dir / "log").share, std::nullopt);
  write_file(dir / "log", "$ btm eval-matrix\neval-matrix: 3 / 12 model=law, domain=code\n");
  EXPECT_EQ(progress_in(dir / "log").text, "model=law, domain=code");
  EXPECT_EQ(progress_in(dir / "log").share, 0.25);
  for (const char* const none : {"a: 3 / 0 x", "a: 4 / 3", "a: -1 / 3", "a: x / 3", "3 / 4"}) {
    write_file(dir / "log", std::string(none) + "\n");
    EXPECT_EQ(progress_in(dir / "log").share, std::nullopt) << none;
    EXPECT_EQ(progress_in(dir / "log").text, none);
  }
  write_file(dir / "log", "{\"num_updates\": \"10\"}\n$ btm train\n");
  EXPECT_EQ(progress_in(dir / "log").text, "");
  EXPECT_EQ(progress_in(dir / "log").update, std::nullopt);
  EXPECT_EQ(progress_in(dir / "none").text, "");
}

TEST(RunState, LocksAStepForOne) {
  OneStep run;
  {
    const auto first = run.state.try_lock("a");
    EXPECT_TRUE(first);
    EXPECT_NE(run.state.lock_holder("a").find("process " + std::to_string(::getpid())),
              std::string::npos);
    EXPECT_FALSE(run.state.try_lock("a"));
    EXPECT_TRUE(run.state.try_lock("b"));
  }
  EXPECT_TRUE(run.state.try_lock("a"));
}

TEST(ReasonOfAFailure, IsTheLastLineThatIsNotEmpty) {
  const TempDir dir;
  write_file(dir / "log", "one\ntwo \x1b[31m\n\n  \n");
  EXPECT_EQ(reason_in(dir / "log"), "two \\x1b[31m");
  write_file(dir / "log", "");
  EXPECT_EQ(reason_in(dir / "log"), "");
  EXPECT_EQ(reason_in(dir / "none"), "");
}

TEST(ReasonOfAFailure, IsTheLastErrorOfTheLastCommand) {
  const TempDir dir;
  write_file(dir / "log", "$ a\na: error: of another\n$ b\nb: error: no 'law'\nrank 1 ended\n");
  EXPECT_EQ(reason_in(dir / "log"), "b: error: no 'law'");
  write_file(dir / "log", "$ a\na: error: of another\n$ b\nwords\n");
  EXPECT_EQ(reason_in(dir / "log"), "words");
}

}  // namespace
}  // namespace btm
