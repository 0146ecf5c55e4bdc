#include "btm/run/run_state.h"

#include <gtest/gtest.h>

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

TEST(RunState, LocksAStepForOne) {
  OneStep run;
  {
    const auto first = run.state.try_lock("a");
    EXPECT_TRUE(first);
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
