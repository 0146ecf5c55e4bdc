#include "compat/program/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::TempDir;
using compat::capture;
using compat::Child;
using compat::Pipe;

std::vector<std::string> sh(const std::string& script) { return {"sh", "-c", script}; }

TEST(Process, CapturesOutputAndStatus) {
  const compat::Captured captured = capture({.argv = sh("echo 12; exit 4")});
  EXPECT_EQ(captured.output, "12\n");
  EXPECT_EQ(captured.status, 4);
  EXPECT_EQ(capture({.argv = sh("kill -9 $$")}).status, 128 + SIGKILL);
  EXPECT_EQ(capture({.argv = sh("head -c 1000000 /dev/zero")}).output.size(), 1000000U);
}

TEST(Process, ThrowsWhereNothingCanBeRun) {
  btm_test::expect_error<compat::IoError>([] { capture({.argv = {"/nonexistent/program"}}); },
                                          "/nonexistent/program: run: No such file or directory");
  btm_test::expect_error<compat::IoError>(
      [] { capture({.argv = {"true"}, .folder = "/nonexistent"}); },
      "true: run: No such file or directory");
}

TEST(Process, RunsInItsFolderWithItsVariables) {
  const TempDir dir;
  ::setenv("BTM_PROCESS_TEST", "old", 1);
  EXPECT_EQ(capture({.argv = sh("pwd; echo $BTM_PROCESS_TEST $BTM_PROCESS_NEW; cat"),
                     .folder = dir.path(),
                     .environment = {"BTM_PROCESS_TEST=new", "BTM_PROCESS_NEW=too"}})
                .output,
            dir.path().string() + "\nnew too\n");
  EXPECT_EQ(capture({.argv = sh("echo $BTM_PROCESS_TEST")}).output, "old\n");
  EXPECT_EQ(capture({.argv = {"called", "-c", "echo $0"}, .program = "/bin/sh"}).output,
            "called\n");
}

TEST(Process, KeepsOneDescriptorOpen) {
  const Pipe kept, closed;
  const auto open_in_child = [&](int descriptor) {
    return capture({.argv = sh("[ -e /proc/self/fd/" + std::to_string(descriptor) + " ]"),
                    .kept = kept.read_end()})
               .status == 0;
  };
  EXPECT_TRUE(open_in_child(kept.read_end()));
  EXPECT_FALSE(open_in_child(closed.read_end()));
}

TEST(Process, SendsErrorsWhereTheyAreToGo) {
  Pipe errors;
  Child child({.argv = sh("echo wrong >&2"), .errors = errors.write_end()});
  errors.close_write_end();
  std::string text;
  while (errors.read_some(text)) {
  }
  EXPECT_EQ(text, "wrong\n");
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(child.killed_by(), 0);
}

TEST(Process, PassesSignalsOnAndKillsAtTheThird) {
  compat::SignalQueue signals;
  for (const int asked : {1, 3}) {
    Pipe output;
    Child child({.argv = sh(asked == 1 ? "echo; exec sleep 60"
                                       : "trap echo TERM; echo; while :; do sleep 0.05; done"),
                 .output = output.write_end()});
    output.close_write_end();
    std::string ready;
    output.read_some(ready);
    std::jthread sender([&] {
      for (int i = 0; i < asked; ++i) {
        ::kill(::getpid(), i % 2 == 0 ? SIGINT : SIGTERM);
        // Two signals that are under way at once may merge. The child says when it has one.
        if (i + 1 < asked) output.read_some(ready);
      }
    });
    bool interrupted = false;
    EXPECT_EQ(child.wait(signals, interrupted), 128 + (asked == 1 ? SIGTERM : SIGKILL));
    EXPECT_TRUE(interrupted);
  }
}

TEST(Process, AQueueTakesSignalsOneByOne) {
  compat::SignalQueue signals({SIGUSR2, SIGHUP});
  EXPECT_EQ(signals.wait(std::chrono::milliseconds(0)), std::nullopt);
  ::raise(SIGUSR2);
  ::raise(SIGHUP);
  std::vector<int> taken;
  while (const auto signal = signals.wait(std::chrono::milliseconds(0))) taken.push_back(*signal);
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (std::vector<int>{SIGHUP, SIGUSR2}));
}

}  // namespace
